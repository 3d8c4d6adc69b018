//! The ways to credentials that AWS's tools know, as they are set up.

use std::collections::BTreeMap;
use std::path::Path;

use super::vendor::{CONTAINER_TOKEN, EXPIRATION, Key, SIGN_ON_TOKEN, SOURCE, Vendor, WEB_TOKEN};

/// The names of the files are the SHA-1 of the session's name, and of the address where one signs on.
const SIGNED_ON: [&str; 2] =
    ["e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json", "b343494cf15ba6b81449840ea93161cf3b27e5e3.json"];

/// Variables of an environment.
pub(crate) type Variables = BTreeMap<&'static str, String>;

/// A way to credentials.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    /// The way in which the key comes in the end.
    pub(crate) key: &'static str,
    pub(crate) variables: Variables,
}

fn setup<const N: usize>(
    name: &'static str,
    key: &'static str,
    variables: [(&'static str, String); N],
) -> Setup {
    Setup { name, key, variables: variables.into() }
}

/// All of them, in a home folder and with someone who hands out keys.
pub(crate) fn all(home: &Path, vendor: &Vendor, own: &Key) -> Vec<Setup> {
    write_files(home, own);
    let url = |path: &str| format!("{}{path}", vendor.url);
    let file = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let sts = || ("AWS_ENDPOINT_URL_STS", url(""));
    let portal = || ("AWS_ENDPOINT_URL_SSO", url(""));
    let container = || ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/container"));
    let profile = |name: &str| ("AWS_PROFILE", name.to_owned());
    let role = || ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web".to_owned());
    vec![
        setup(
            "the environment",
            "own",
            [("AWS_ACCESS_KEY_ID", own.id.clone()), ("AWS_SECRET_ACCESS_KEY", own.secret.clone())],
        ),
        setup("keys of a profile", "own", [profile("keys")]),
        setup("a program", "own", [profile("program")]),
        setup("a role, of a profile with keys", "role", [profile("role"), sts()]),
        setup("single sign-on with a session", "single-sign-on", [profile("sso"), portal()]),
        setup("single sign-on without one", "single-sign-on", [profile("older-sso"), portal()]),
        setup(
            "a web identity",
            "web-identity",
            [("AWS_WEB_IDENTITY_TOKEN_FILE", file("web-token")), role(), sts()],
        ),
        setup("a web identity of a profile", "web-identity", [profile("web"), sts()]),
        setup(
            "a container",
            "container",
            [container(), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN.to_owned())],
        ),
        setup(
            "a pod",
            "container",
            [container(), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("container-token"))],
        ),
        setup(
            "a machine",
            "machine",
            [
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url("")),
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
            ],
        ),
    ]
}

fn write_files(home: &Path, own: &Key) {
    let cache = home.join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.join(name), text).unwrap();
    write("web-token", WEB_TOKEN);
    write("container-token", CONTAINER_TOKEN);
    write(".aws/config", &config(home));
    let keys =
        |id: &str, secret: &str| format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    let credentials = [("keys", keys(&own.id, &own.secret)), ("source", keys(SOURCE, "source"))];
    write(".aws/credentials", &credentials.map(|(name, keys)| format!("[{name}]\n{keys}")).concat());
    let printed = serde_json::json!({
        "Version": 1, "AccessKeyId": own.id, "SecretAccessKey": own.secret, "Expiration": EXPIRATION,
    });
    write("printed.json", &printed.to_string());
    for name in SIGNED_ON {
        sign_on(home, name, EXPIRATION);
    }
}

/// Leaves behind what `aws sso login` does, good until `end`.
fn sign_on(home: &Path, name: &str, end: &str) {
    let token = serde_json::json!({
        "startUrl": "https://example.com/start", "region": "us-east-1", "accessToken": SIGN_ON_TOKEN, "expiresAt": end,
    });
    std::fs::write(home.join(".aws/sso/cache").join(name), token.to_string()).unwrap();
}

/// Has been signed on long ago, for good.
pub(crate) fn sign_off(home: &Path) {
    SIGNED_ON.iter().for_each(|name| sign_on(home, name, "2020-01-01T00:00:00Z"));
}

fn config(home: &Path) -> String {
    let home = home.display();
    let account = "sso_account_id = 123456789012\nsso_role_name = developer\n";
    let sign_on = "sso_start_url = https://example.com/start\nsso_region = us-east-1\n";
    [
        format!("[profile program]\ncredential_process = cat {home}/printed.json\n"),
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/one\nsource_profile = source\n".to_owned(),
        format!("[profile sso]\nsso_session = work\n{account}"),
        format!("[sso-session work]\n{sign_on}sso_registration_scopes = sso:account:access\n"),
        format!("[profile older-sso]\n{sign_on}{account}"),
        format!("[profile web]\nrole_arn = arn:aws:iam::123456789012:role/web\nweb_identity_token_file = {home}/web-token\n"),
        "[profile console]\nlogin_session = arn:aws:iam::123456789012:user/me\n".to_owned(),
        "[profile failing]\ncredential_process = echo hidden; echo why >&2; exit 3\n".to_owned(),
        "[profile garbled]\ncredential_process = echo hidden\n".to_owned(),
        "[profile late]\ncredential_process = sed s/2999/1999/ printed.json\n".to_owned(),
        "[profile stranger]\nrole_arn = arn:aws:iam::123456789012:role/one\nsource_profile = keys\n".to_owned(),
    ]
    .concat()
}
