// A tour of AWS's API with AWS's SDK for JavaScript. What it sees goes to standard output as JSON.

const data = require("@aws-sdk/client-bedrock-agentcore");
const control = require("@aws-sdk/client-bedrock-agentcore-control");

// The credentials come from the environment.
const where = { endpoint: process.argv[2], region: "us-east-1" };
const agents = new data.BedrockAgentCoreClient(where);
const runtimes = new control.BedrockAgentCoreControlClient(where);
const artifact = {
  codeConfiguration: {
    code: { s3: { bucket: "local", prefix: "writer/" } }, runtime: "PYTHON_3_12", entryPoint: ["main.py"],
  },
};

// Whether a request fails with an exception of that class, which has a request id.
const failsWith = (request, kind) =>
  request.then(() => false, (error) => error instanceof kind && Boolean(error.$metadata.requestId));

// Versions, endpoints, tags, pages and errors of a runtime.
async function controlled({ agentRuntimeArn, agentRuntimeId }) {
  const send = (name, input) => runtimes.send(new control[`${name}Command`](input));
  const settings = {
    agentRuntimeArtifact: artifact, roleArn: "arn:aws:iam::123456789012:role/agent",
    networkConfiguration: { networkMode: "PUBLIC" },
  };
  const seen = {};
  const again = { ...settings, agentRuntimeName: "javascript" };
  seen.conflict = await failsWith(send("CreateAgentRuntime", again), control.ConflictException);
  const unknown = { ...again, agentRuntimeName: "unknown", agentRuntimeArtifact: {
    codeConfiguration: { ...artifact.codeConfiguration, entryPoint: ["none.py"] },
  } };
  seen.invalid = await failsWith(send("CreateAgentRuntime", unknown), control.ValidationException);
  seen.updated = (await send("UpdateAgentRuntime", { ...settings, agentRuntimeId })).agentRuntimeVersion;
  await send("CreateAgentRuntimeEndpoint", { agentRuntimeId, name: "prod", agentRuntimeVersion: "1" });
  const { runtimeEndpoints } = await send("ListAgentRuntimeEndpoints", { agentRuntimeId });
  seen.endpoints = runtimeEndpoints.map(({ name, liveVersion }) => [name, liveVersion]).sort();
  const { agentRuntimes } = await send("ListAgentRuntimeVersions", { agentRuntimeId });
  seen.versions = agentRuntimes.map((version) => version.agentRuntimeVersion).sort();
  seen.pages = [];
  for await (const page of control.paginateListAgentRuntimes({ client: runtimes, pageSize: 1 }, {})) {
    seen.pages.push(page.agentRuntimes.length);
  }
  seen.pages = seen.pages.length > 1 && Math.max(...seen.pages);
  await send("TagResource", { resourceArn: agentRuntimeArn, tags: { team: "red", stage: "test" } });
  await send("UntagResource", { resourceArn: agentRuntimeArn, tagKeys: ["stage"] });
  seen.tags = (await send("ListTagsForResource", { resourceArn: agentRuntimeArn })).tags;
  seen.endpoint = (await send("DeleteAgentRuntimeEndpoint", { agentRuntimeId, endpointName: "prod" })).status;
  return seen;
}

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
  seen.control = await controlled(created);
  const session = { agentRuntimeArn, runtimeSessionId: "javascript-".padEnd(40, "-") };

  const invoke = (payload) =>
    agents.send(new data.InvokeAgentRuntimeCommand({ ...session, payload: JSON.stringify(payload) }));
  seen.answer = JSON.parse(await (await invoke({})).response.transformToString()).session;
  seen.stream = await (await invoke({ do: "stream", items: 2 })).response.transformToString();
  const big = await invoke({ do: "big", bytes: 10_000_000 });
  seen.received = JSON.parse(await big.response.transformToString()).length;
  const sent = await invoke({ do: "length", text: "x".repeat(10_000_000) });
  seen.sent = JSON.parse(await sent.response.transformToString()).length;
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
