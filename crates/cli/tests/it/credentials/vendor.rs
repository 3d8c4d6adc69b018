//! Those who hand out credentials on AWS, on loopback and in the forms of the wire: the service for security tokens,
//! the portal of single sign-on, a container, a machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is shown to each for its credentials.
pub(crate) const WEB_TOKEN: &str = "web.identity.token";
pub(crate) const SIGN_ON_TOKEN: &str = "sign-on-token";
pub(crate) const CONTAINER_TOKEN: &str = "container-token";
const MACHINE_TOKEN: &str = "machine-token";
/// Long after these tests.
pub(crate) const EXPIRATION: &str = "2999-01-01T00:00:00Z";
const EXPIRATION_MILLIS: u64 = 32_472_144_000_000;
/// The key with which a role is taken on.
pub(crate) const SOURCE: &str = "AKIASOURCEOFROLES000";

/// An access key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// All of them at one address.
pub(crate) struct Vendor {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Vendor {
    /// Hands out these keys, each in the way that it is named after.
    pub(crate) async fn of(keys: HashMap<&'static str, Key>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (keys, log) = (Arc::new(keys), asked.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, keys.clone(), log.clone()));
            }
        });
        Self { url, asked, serving }
    }

    /// The first lines of what it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A request: its first line, all of its head in small letters, and its body.
struct Request {
    line: String,
    head: String,
    body: String,
}

async fn serve(mut stream: TcpStream, keys: Arc<HashMap<&'static str, Key>>, log: Arc<Mutex<Vec<String>>>) {
    let Some(request) = read(&mut stream).await else { return };
    log.lock().unwrap().push(request.line.clone());
    let (status, body) = answer(&request, &keys);
    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600";
    let head =
        format!("HTTP/1.1 {status}\r\n{ttl}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                let line = head.lines().next()?.to_owned();
                return Some(Request { line, head: lower, body: body.to_owned() });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// The status and the body.
fn answer(request: &Request, keys: &HashMap<&'static str, Key>) -> (&'static str, String) {
    let shows = |what: &str| request.head.contains(&what.to_lowercase());
    let is_signed_by_source = shows(&format!("credential={SOURCE}/"));
    let (method, target) = request.line.split_once(' ').unwrap();
    let path = target.split([' ', '?']).next().unwrap();
    match (method, path) {
        ("POST", "/") if request.body.contains("Action=AssumeRoleWithWebIdentity") => {
            let shown = request.body.contains(&format!("WebIdentityToken={WEB_TOKEN}"));
            given(keys.get("web-identity").filter(|_| shown), |key| of_role("AssumeRoleWithWebIdentity", key))
        }
        ("POST", "/") if request.body.contains("Action=AssumeRole") => {
            given(keys.get("role").filter(|_| is_signed_by_source), |key| of_role("AssumeRole", key))
        }
        ("GET", "/federation/credentials") => {
            given(keys.get("single-sign-on").filter(|_| shows(SIGN_ON_TOKEN)), of_sign_on)
        }
        ("GET", "/container") => {
            let shown = shows(&format!("authorization: {CONTAINER_TOKEN}"));
            given(keys.get("container").filter(|_| shown), as_json)
        }
        ("PUT", "/latest/api/token") if keys.contains_key("machine") => ("200 OK", MACHINE_TOKEN.to_owned()),
        ("GET", "/latest/meta-data/iam/security-credentials/") if shows(MACHINE_TOKEN) => {
            ("200 OK", "instance-role".to_owned())
        }
        ("GET", "/latest/meta-data/iam/security-credentials/instance-role") => {
            given(keys.get("machine").filter(|_| shows(MACHINE_TOKEN)), as_json)
        }
        _ => given(None, as_json),
    }
}

fn given(key: Option<&Key>, form: impl Fn(&Key) -> String) -> (&'static str, String) {
    key.map_or_else(
        || {
            let error =
                "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>you may not</Message></Error>";
            ("403 Forbidden", format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"))
        },
        |key| ("200 OK", form(key)),
    )
}

/// As the service for security tokens answers.
fn of_role(action: &str, Key { id, secret }: &Key) -> String {
    let role =
        "<AssumedRoleId>AROA:one</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/one/two</Arn>";
    let key = format!("<AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>");
    let rest = format!("<SessionToken>session</SessionToken><Expiration>{EXPIRATION}</Expiration>");
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <AssumedRoleUser>{role}</AssumedRoleUser><Credentials>{key}{rest}</Credentials></{action}Result>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// As the portal of single sign-on answers.
fn of_sign_on(Key { id, secret }: &Key) -> String {
    let credentials = json!({
        "accessKeyId": id, "secretAccessKey": secret, "sessionToken": "session", "expiration": EXPIRATION_MILLIS,
    });
    json!({ "roleCredentials": credentials }).to_string()
}

/// As containers and machines answer.
fn as_json(Key { id, secret }: &Key) -> String {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2020-01-01T00:00:00Z", "Expiration": EXPIRATION,
        "AccessKeyId": id, "SecretAccessKey": secret, "Token": "session",
    })
    .to_string()
}
