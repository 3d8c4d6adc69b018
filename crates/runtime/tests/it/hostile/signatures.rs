//! Requests whose signature is wrong, or is right and does not help.

use agentcore_auth::keys::AccessKey;

use super::forger::{Forged, HOST, Scope, signed};
use super::many::{BODY, Hostile, MARK};

pub(super) const PATH: &str = "/runtimes/tester/invocations";
const CLOSE: &str = "connection: close";

pub(super) fn hostile(key: &AccessKey, scope: Scope<'_>) -> Vec<Hostile> {
    let good = signed(key, scope, PATH, BODY, false);
    let presigned = signed(key, scope, PATH, BODY, true);
    [
        truncated(&good),
        spoilt(&good),
        out_of_scope(key, scope),
        presigned_wrongly(&good, &presigned),
        doubled(&good, &signed(key, Scope { at: scope.at - 1, ..scope }, PATH, BODY, false)),
        readable_in_two_ways(&good),
        oversized(&good),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn length() -> String {
    format!("content-length: {}", BODY.len())
}

fn whole(what: impl Into<String>, request: &Forged) -> Hostile {
    Hostile::new(what, request.bytes(&[CLOSE, &length()], BODY))
}

fn truncated(good: &Forged) -> Vec<Hostile> {
    let bytes = good.bytes(&[CLOSE, &length()], BODY);
    let cut =
        |end: usize| Hostile { is_cut: true, ..Hostile::new(format!("cut at {end}"), bytes[..end].to_vec()) };
    (1..bytes.len()).step_by(5).map(cut).chain([cut(bytes.len() - 1)]).collect()
}

/// The header that shows who calls, changed in every way.
fn spoilt(good: &Forged) -> Vec<Hostile> {
    let header = good.headers.iter().find(|line| line.starts_with("authorization")).unwrap();
    let with = |to: &str| whole(to, &good.with(header, to));
    let signature = header.len() - 64;
    let flipped = (signature..header.len()).map(|at| {
        let other = if &header[at..=at] == "0" { "1" } else { "0" };
        with(&format!("{}{other}{}", &header[..at], &header[at + 1..]))
    });
    let shortened = (16..header.len()).step_by(4).map(|end| with(&header[..end]));
    let replaced = [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256", "aws4-hmac-sha256"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256,AWS4-HMAC-SHA256"),
        ("AWS4-HMAC-SHA256", "none"),
        ("AWS4-HMAC-SHA256 ", "Bearer "),
        ("us-east-1", "US-EAST-1"),
        ("aws4_request", "aws4_request/aws4_request"),
        ("aws4_request", ""),
        ("host;", ""),
        ("host;", "host;host;"),
        ("host;", "Host;"),
        ("host;", "absent;host;"),
        (";x-amz-date", ""),
        ("Signature=", "Signature=,Signature="),
        ("Signature=", "Signature=0"),
        ("Signature=", "signature="),
        ("Credential=", "Credential=x,Credential="),
        ("Credential=", "Credential=%"),
        (", Signature", ", Extra=1, Signature"),
    ];
    let replaced = replaced.map(|(from, to)| with(&header.replacen(from, to, 1)));
    let tampered = [("another payload", BODY.replace("echo", "othr")), ("none at all", String::new())];
    let tampered = tampered.map(|(what, body)| {
        Hostile::new(what, good.bytes(&[CLOSE, &format!("content-length: {}", body.len())], &body))
    });
    let elsewhere =
        ["/runtimes/other/invocations", "/runtimes/tester/commands", "/runtimes/tester/../x", "/ping", "/"];
    let elsewhere =
        elsewhere.map(|path| whole(path, &Forged { target: path.to_owned(), headers: good.headers.clone() }));
    flipped.chain(shortened).chain(replaced).chain(tampered).chain(elsewhere).collect()
}

/// Signed rightly, for somewhere else or another time.
fn out_of_scope(key: &AccessKey, right: Scope<'_>) -> Vec<Hostile> {
    let regions = ["eu-west-1", "us-east-2", "", "us-east-1 ", "*", "aws-global"];
    let regions = regions.map(|region| ("region", Scope { region, ..right }));
    let services = ["s3", "bedrock", "bedrock-agentcore-control", "execute-api", "", "*"];
    let services = services.map(|service| ("service", Scope { service, ..right }));
    // What was overheard is replayed with the time that it was signed with.
    let replayed = [330, 400, 600, 900, 3_600, 86_400, 31_536_000].map(|ago| right.at - ago);
    let ahead = [330, 900, 86_400].map(|early| right.at + early);
    let times = replayed.into_iter().chain(ahead).map(|at| ("time", Scope { at, ..right }));
    let scopes = regions.into_iter().chain(services).chain(times);
    let made = scopes.flat_map(|(what, scope)| {
        [false, true]
            .map(|in_query| whole(format!("{what} {}", scope.at), &signed(key, scope, PATH, BODY, in_query)))
    });
    made.collect()
}

fn presigned_wrongly(good: &Forged, presigned: &Forged) -> Vec<Hostile> {
    let target = &presigned.target;
    let with = |target: String| whole(target.clone(), &Forged { target, headers: presigned.headers.clone() });
    let shortened = (PATH.len() + 1..target.len()).step_by(7).map(|end| with(target[..end].to_owned()));
    let replaced = [
        ("X-Amz-Expires=300", "X-Amz-Expires=301"),
        ("X-Amz-Expires=300", "X-Amz-Expires=0"),
        ("X-Amz-Expires=300", "X-Amz-Expires=604801"),
        ("X-Amz-Expires=300", "X-Amz-Expires=%2B300"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
        ("us-east-1", "eu-west-1"),
    ];
    let replaced = replaced.map(|(from, to)| with(target.replacen(from, to, 1)));
    let added = [
        "X-Amz-Signature=0",
        "X-Amz-Credential=x",
        "X-Amz-Security-Token=t",
        "qualifier=other",
        "%58-Amz-Signature=1",
    ];
    let added = added.map(|more| with(format!("{target}&{more}")));
    let both = Forged { target: target.clone(), headers: good.headers.clone() };
    shortened.chain(replaced).chain(added).chain([whole("signed twice", &both)]).collect()
}

/// Headers that are there twice, one of them right, and headers that nobody signed.
fn doubled(good: &Forged, other: &Forged) -> Vec<Hostile> {
    let mut hostile = Vec::new();
    for name in ["authorization", "x-amz-date", "host"] {
        let named =
            |request: &Forged| request.headers.iter().position(|line| line.starts_with(name)).unwrap();
        let (right, wrong) = (named(good), other.headers[named(other)].replace(HOST, "elsewhere.example"));
        for place in [right, right + 1] {
            let mut headers = good.headers.clone();
            headers.insert(place, wrong.clone());
            hostile.push(whole(format!("{name} twice"), &Forged { target: good.target.clone(), headers }));
        }
        let mut headers = good.headers.clone();
        headers.remove(right);
        hostile.push(whole(format!("no {name}"), &Forged { target: good.target.clone(), headers }));
    }
    for more in [
        "x-amz-security-token: token",
        "x-amz-content-sha256: UNSIGNED-PAYLOAD",
        "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-target: Something",
        "x-amz-meta: 1",
    ] {
        let bytes = good.bytes(&[CLOSE, &length(), more], BODY);
        hostile.push(Hostile::new(more, bytes));
    }
    hostile
}

/// What is behind us might read another request than we do.
fn readable_in_two_ways(good: &Forged) -> Vec<Hostile> {
    let length = length();
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let other = chunk.replace("echo", "othr");
    let inner = format!("0\r\n\r\nPOST {PATH} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 2\r\n\r\n{{}}");
    let mut hostile = Vec::new();
    let mut add = |more: &[&str], body: &str| {
        let more = [&[CLOSE], more].concat();
        hostile.push(Hostile::new(more.join("|"), good.bytes(&more, body)));
    };
    for coding in [
        "chunked, identity",
        "gzip",
        "identity, gzip",
        "x",
        "",
        "chunked;q=1",
        "\"chunked\"",
        "chunked, x",
        "xchunked",
    ] {
        add(&[&format!("transfer-encoding: {coding}")], &chunk);
        add(&[&length, &format!("transfer-encoding: {coding}")], BODY);
    }
    for space in [" ", "\t", "\u{b}", "\0"] {
        add(&[&length, &format!("transfer-encoding{space}: chunked")], BODY);
        add(&[&format!("content-length{space}: 2")], BODY);
    }
    add(&["transfer-encoding: chunked"], &other);
    add(&["transfer-encoding: chunked"], &inner);
    add(&[&length, "transfer-encoding: chunked"], &inner);
    for size in ["fffffffffffffffff", "-1", "+15", "0x15", "15 15", "zz", ""] {
        add(&["transfer-encoding: chunked"], &chunk.replacen("15", size, 1));
    }
    for lengths in
        ["21, 21, 2", "21, 22", "-21", "+21", "0x15", "21.0", "2 1", "99999999999999999999999", "", "21;"]
    {
        add(&[&format!("content-length: {lengths}")], BODY);
    }
    add(&[&length, "content-length: 2"], BODY);
    add(&["content-length: 2", &length], BODY);
    for line in [
        "x-amz-date : 20200101T000000Z",
        "x-a: 1\r\n folded: 2\0",
        "x-a: 1\r\n x-amz-date: 20200101T000000Z\r\nx-amz-b: 2",
        "x-a: \0",
        "no colon",
        ": no name",
        "x\u{7f}: 1",
        "x a: 1",
        "x-a: 1\rx-b: 2",
    ] {
        add(&[&length, line], BODY);
    }
    hostile
}

fn oversized(good: &Forged) -> Vec<Hostile> {
    let mut hostile = Vec::new();
    let mut add = |what: &str, more: &str| {
        let bytes = good.bytes(&[CLOSE, &length(), more], BODY);
        hostile.push(Hostile::new(what, bytes));
    };
    add("a long header", &format!("x-long: {}", "x".repeat(1_000_000)));
    add("a long name", &format!("{}: 1", "x".repeat(100_000)));
    add("many headers", &("x-many: 1\r\n".repeat(10_000) + "x-last: 1"));
    let long = format!("{}?{}", good.target, "x".repeat(1_000_000));
    hostile.push(whole("a long target", &Forged { target: long, headers: good.headers.clone() }));
    hostile.push(whole(
        "many signed headers",
        &good.with("SignedHeaders=", &format!("SignedHeaders={}", "a;".repeat(5_000))),
    ));
    for size in [100_000_001_u64, 1 << 40, u64::MAX] {
        let bytes = good.bytes(&[CLOSE, &format!("content-length: {size}")], MARK);
        hostile.push(Hostile::new(format!("a payload of {size}"), bytes));
    }
    hostile
}
