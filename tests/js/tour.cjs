// A tour of AWS's API with AWS's SDK for JavaScript. What it sees goes to standard output as JSON.

const data = require("@aws-sdk/client-bedrock-agentcore");
const control = require("@aws-sdk/client-bedrock-agentcore-control");

const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };
const where = { endpoint: process.argv[2], region: "us-east-1", credentials };
const agents = new data.BedrockAgentCoreClient(where);
const runtimes = new control.BedrockAgentCoreControlClient(where);
const artifact = {
  codeConfiguration: {
    code: { s3: { bucket: "local", prefix: "writer/" } }, runtime: "PYTHON_3_12", entryPoint: ["main.py"],
  },
};

async function tour() {
  const seen = {};
  const created = await runtimes.send(new control.CreateAgentRuntimeCommand({
    agentRuntimeName: "javascript", agentRuntimeArtifact: artifact,
    roleArn: "arn:aws:iam::123456789012:role/agent", networkConfiguration: { networkMode: "PUBLIC" },
  }));
  const { agentRuntimeArn, agentRuntimeId } = created;
  seen.created = created.createdAt instanceof Date && created.status;
  const shown = await runtimes.send(new control.GetAgentRuntimeCommand({ agentRuntimeId }));
  seen.artifact = shown.agentRuntimeArtifact;
  const session = { agentRuntimeArn, runtimeSessionId: "javascript-".padEnd(40, "-") };

  const invoke = (payload) =>
    agents.send(new data.InvokeAgentRuntimeCommand({ ...session, payload: JSON.stringify(payload) }));
  seen.answer = JSON.parse(await (await invoke({})).response.transformToString()).session;
  seen.stream = await (await invoke({ do: "stream", items: 2 })).response.transformToString();
  seen.failure = await invoke({ do: "fail" }).catch((error) => [
    error instanceof data.RuntimeClientError, error.$metadata.httpStatusCode, error.message.includes("no good"),
  ]);

  const command = new data.InvokeAgentRuntimeCommandCommand({ ...session, body: { command: "echo hello" } });
  seen.events = [];
  for await (const event of (await agents.send(command)).stream) seen.events.push(event.chunk);

  seen.stopped = (await agents.send(new data.StopRuntimeSessionCommand(session))).statusCode;
  seen.deleted = (await runtimes.send(new control.DeleteAgentRuntimeCommand({ agentRuntimeId }))).status;
  seen.gone = await runtimes.send(new control.GetAgentRuntimeCommand({ agentRuntimeId }))
    .catch((error) => error instanceof control.ResourceNotFoundException);
  return seen;
}

tour().then((seen) => console.log(JSON.stringify(seen)), (error) => {
  console.error(error);
  process.exit(1);
});
