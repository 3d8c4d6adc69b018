//! Tokens, with real keys and a real issuer.

use agentcore_auth::Subject;
use agentcore_auth::jwt::{Fetcher, JwtAuthorizer, JwtError};
use agentcore_auth::{Action, Identity};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::issuer::{Issuer, Key};
use crate::support::at;

/// The time of these tests.
const NOW: u64 = 1_800_000_000;

fn authorizer(issuer: &Issuer, rules: Value) -> JwtAuthorizer {
    let mut configuration = json!({"discoveryUrl": issuer.discovery_url()});
    configuration.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    JwtAuthorizer::new(serde_json::from_value(configuration).unwrap(), Fetcher::new()).unwrap()
}

/// Claims that are fine, with some of them replaced; null takes one away.
fn claims(issuer: &Issuer, changes: Value) -> Value {
    let mut claims = json!({"iss": issuer.url, "sub": "alice", "aud": "writer", "exp": NOW + 600, "nbf": NOW - 10,
                            "client_id": "web", "scope": "read write"});
    let object = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    claims
}

async fn judge(authorizer: &JwtAuthorizer, token: &str) -> Result<agentcore_auth::Principal, JwtError> {
    authorizer.verify(token, "writer", at(NOW)).await
}

#[tokio::test]
async fn every_algorithm_is_verified_and_its_bearer_may_invoke_that_agent() {
    let keys = [
        Key::rsa(Algorithm::RS256, "a", "1"),
        Key::rsa(Algorithm::RS384, "a", "2"),
        Key::rsa(Algorithm::RS512, "a", "3"),
        Key::rsa(Algorithm::PS256, "b", "4"),
        Key::rsa(Algorithm::PS384, "b", "5"),
        Key::rsa(Algorithm::PS512, "b", "6"),
        Key::elliptic(Algorithm::ES256, "7"),
        Key::elliptic(Algorithm::ES384, "8"),
        Key::edwards("9"),
    ];
    let issuer = Issuer::start(&keys.iter().collect::<Vec<_>>()).await;
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    for key in &keys {
        let token = key.sign(&claims(&issuer, json!({})));
        let principal =
            judge(&authorizer, &token).await.unwrap_or_else(|error| panic!("{:?}: {error}", key.algorithm));
        let identity =
            Identity::Token { issuer: issuer.url.clone(), subject: Subject::Named("alice".into()) };
        assert_eq!(principal.identity(), &identity);
        assert!(principal.may(Action::Invoke, "writer"));
        assert!(!principal.may(Action::Invoke, "other") && !principal.may(Action::Administer, "writer"));
        let mut spoilt = token.into_bytes();
        let middle = spoilt.len() / 2;
        spoilt[middle] = if spoilt[middle] == b'A' { b'B' } else { b'A' };
        assert!(judge(&authorizer, std::str::from_utf8(&spoilt).unwrap()).await.is_err());
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn every_rule_of_the_configuration_holds() {
    let key = Key::edwards("k");
    let issuer = Issuer::start(&[&key]).await;
    let rule = |name: &str, kind: &str, operator: &str, value: Value| {
        json!({"customClaims": [{"inboundTokenClaimName": name, "inboundTokenClaimValueType": kind,
            "authorizingClaimMatchValue": {"claimMatchOperator": operator, "claimMatchValue": value}}]})
    };
    let text = |value: &str| json!({"matchValueString": value});
    let list = json!({"matchValueStringList": ["a", "b"]});
    let cases = [
        (json!({"allowedAudience": ["x", "writer"]}), json!({}), true),
        (json!({"allowedAudience": ["x", "writer"]}), json!({"aud": ["y", "writer"]}), true),
        (json!({"allowedAudience": ["x"]}), json!({}), false),
        (json!({"allowedAudience": ["x"]}), json!({"aud": null}), false),
        (json!({"allowedAudience": ["writer"]}), json!({"aud": {"writer": "writer"}}), false),
        (json!({"allowedClients": ["web"]}), json!({}), true),
        (json!({"allowedClients": ["web"]}), json!({"client_id": "cli"}), false),
        (json!({"allowedClients": ["web"]}), json!({"client_id": null, "aud": "web"}), false),
        (json!({"allowedClients": ["web"], "allowedAudience": ["x"]}), json!({}), false),
        (json!({"allowedScopes": ["admin", "write"]}), json!({}), true),
        (json!({"allowedScopes": ["admin"]}), json!({}), false),
        (json!({"allowedScopes": ["rea"]}), json!({}), false),
        (json!({"allowedScopes": ["admin"]}), json!({"scope": null}), false),
        (rule("team", "STRING", "EQUALS", text("a")), json!({"team": "a"}), true),
        (rule("team", "STRING", "EQUALS", text("a")), json!({"team": "ab"}), false),
        (rule("team", "STRING", "EQUALS", text("a")), json!({"team": ["a"]}), false),
        (rule("team", "STRING", "EQUALS", text("a")), json!({}), false),
        (rule("groups", "STRING_ARRAY", "CONTAINS", text("a")), json!({"groups": ["b", "a"]}), true),
        (rule("groups", "STRING_ARRAY", "CONTAINS", text("a")), json!({"groups": ["ab"]}), false),
        (rule("groups", "STRING_ARRAY", "CONTAINS", text("a")), json!({"groups": "a"}), false),
        (rule("groups", "STRING_ARRAY", "CONTAINS_ANY", list.clone()), json!({"groups": ["c", "b"]}), true),
        (rule("groups", "STRING_ARRAY", "CONTAINS_ANY", list.clone()), json!({"groups": ["c"]}), false),
        (rule("groups", "STRING_ARRAY", "CONTAINS_ANY", list), json!({"groups": []}), false),
    ];
    for (rules, changes, accepted) in cases {
        let verdict =
            judge(&authorizer(&issuer, rules.clone()), &key.sign(&claims(&issuer, changes.clone()))).await;
        assert_eq!(verdict.is_ok(), accepted, "{rules} {changes}: {verdict:?}");
    }
}

#[tokio::test]
async fn tokens_out_of_time_or_of_others_are_refused() {
    let key = Key::edwards("k");
    let issuer = Issuer::start(&[&key]).await;
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    let verdict =
        async |changes: Value| judge(&authorizer, &key.sign(&claims(&issuer, changes))).await.map(drop);
    assert!(verdict(json!({"exp": NOW - 59, "nbf": null})).await.is_ok());
    assert!(verdict(json!({"exp": NOW as f64 + 0.5, "nbf": NOW + 60})).await.is_ok());
    assert!(matches!(verdict(json!({"exp": NOW - 60})).await, Err(JwtError::Expired)));
    assert!(matches!(verdict(json!({"nbf": NOW + 61})).await, Err(JwtError::NotYetValid)));
    for bad in [json!(null), json!("2099"), json!([])] {
        assert!(matches!(verdict(json!({"exp": bad})).await, Err(JwtError::MissingClaim("exp"))));
    }
    assert!(matches!(verdict(json!({"nbf": "soon"})).await, Err(JwtError::MissingClaim("nbf"))));
    for bad in
        [json!("https://evil.example"), json!([issuer.url]), json!(format!("{}/", issuer.url)), json!(null)]
    {
        assert!(matches!(verdict(json!({"iss": bad})).await, Err(JwtError::Claim(claim)) if claim == "iss"));
    }
    assert!(matches!(
        verdict(json!({"sub": "", "client_id": null})).await,
        Err(JwtError::MissingClaim("sub"))
    ));
    for bad in [json!(7), json!(["alice"]), json!({}), json!(true), json!("a".repeat(1_025))] {
        assert!(matches!(verdict(json!({ "sub": bad })).await, Err(JwtError::MissingClaim("sub"))));
    }
    let token = key.sign(&claims(&issuer, json!({"sub": null})));
    let client = judge(&authorizer, &token).await.unwrap();
    assert_eq!(client.to_string(), format!("jwt-client:{} web", issuer.url));
}

#[tokio::test]
async fn no_header_talks_the_verifier_into_another_key_or_algorithm() {
    let rsa = Key::rsa(Algorithm::RS256, "a", "rsa");
    let (other, curve) = (Key::rsa(Algorithm::RS256, "b", "rsa"), Key::elliptic(Algorithm::ES256, "ec"));
    let issuer = Issuer::start(&[&rsa, &curve]).await;
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    let good = claims(&issuer, json!({}));
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let part = |alg: &str| format!("{}.{}", encode(&json!({"alg": alg, "kid": "rsa"})), encode(&good));
    let signed = rsa.sign(&good);
    let signature = signed.rsplit_once('.').unwrap().1;
    let mut hostile: Vec<String> =
        ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "ES512", "RS1", "RSA"]
            .iter()
            .flat_map(|alg| [format!("{}.", part(alg)), format!("{}.{signature}", part(alg))])
            .collect();
    // The public key as an HMAC's secret, in the spellings that libraries have taken.
    for secret in [rsa.jwk["n"].as_str().unwrap().as_bytes(), rsa.jwk.to_string().as_bytes()] {
        let header = Header { kid: Some("rsa".into()), ..Header::new(Algorithm::HS256) };
        hostile.push(jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap());
    }
    let named = |kid: Option<&str>| Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::RS256) };
    hostile.push(other.sign(&good));
    hostile.push(rsa.sign_as(&named(Some("ec")), &good));
    hostile.push(rsa.sign_as(&named(Some("nobody")), &good));
    hostile.push(rsa.sign_as(&named(Some("../keys")), &good));
    // Keys that come with the token are nobody's.
    let own = json!({"alg": "RS256", "kid": "x", "jwk": other.jwk, "jku": "https://evil.example/keys", "x5u": "https://evil.example"});
    hostile.push(format!("{}.{}.{signature}", encode(&own), encode(&good)));
    for header in [
        json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false}),
        json!({"alg": ["RS256"]}),
        json!([]),
        json!(null),
    ] {
        hostile.push(format!("{}.{}.{signature}", encode(&header), encode(&good)));
    }
    for bad in ["", ".", "..", "...", "....", "a.b.c", "e30.e30.e30", "e30.e30.", "\u{1F980}.x.y"] {
        hostile.push(bad.to_owned());
    }
    hostile.extend([
        signed[..signed.len() - 1].to_owned(),
        format!("{signed}A"),
        format!("{signed}=="),
        format!("{signed}.x"),
    ]);
    hostile.extend([
        format!(" {signed}"),
        signed.replace('.', ".."),
        "e30.".repeat(20_000),
        "A".repeat(1_000_000),
    ]);
    for token in &hostile {
        assert!(judge(&authorizer, token).await.is_err(), "{}", &token[..token.len().min(200)]);
    }
    assert!(judge(&authorizer, &signed).await.is_ok());
    // Without a name, the only key that fits is meant.
    assert!(judge(&authorizer, &rsa.sign_as(&named(None), &good)).await.is_ok());
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_did_not_name_for_a_key_is_refused() {
    let key = Key::rsa(Algorithm::RS256, "a", "k");
    let pss = Key::rsa(Algorithm::PS256, "a", "k");
    let mut jwk = key.jwk.clone();
    jwk["alg"] = "RS256".into();
    let issuer = Issuer::start(&[]).await;
    issuer.publish_raw(vec![jwk]);
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    assert!(judge(&authorizer, &key.sign(&claims(&issuer, json!({})))).await.is_ok());
    let refused = judge(&authorizer, &pss.sign(&claims(&issuer, json!({})))).await;
    assert!(matches!(refused, Err(JwtError::Algorithm)), "{refused:?}");
}

#[tokio::test]
async fn keys_that_cannot_be_used_do_no_harm() {
    let key = Key::edwards("k");
    let issuer = Issuer::start(&[]).await;
    let mut encrypting = Key::edwards("k").jwk;
    encrypting["use"] = "enc".into();
    let odd = [
        json!(null),
        json!({}),
        json!({"kty": "oct", "kid": "k", "k": "AAAA"}),
        json!({"kty": "RSA", "kid": "k", "n": "AA", "e": ""}),
    ];
    let curve = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": "AAAA", "y": "AAAA"});
    let keys = odd.into_iter().chain([curve, encrypting, key.jwk.clone()]).collect();
    issuer.publish_raw(keys);
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    assert!(judge(&authorizer, &key.sign(&claims(&issuer, json!({})))).await.is_ok());
}

#[tokio::test]
async fn new_keys_are_fetched_once_and_old_ones_hold_while_the_issuer_is_away() {
    let (old, new) = (Key::edwards("old"), Key::edwards("new"));
    let issuer = Issuer::start(&[&old]).await;
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    let token = |key: &Key| key.sign(&claims(&issuer, json!({"exp": NOW + 1_000_000, "nbf": null})));
    let judge = async |key: &Key, later: u64| authorizer.verify(&token(key), "writer", at(NOW + later)).await;
    assert!(judge(&old, 0).await.is_ok());
    issuer.publish(&[&old, &new]);
    // Asked just now: whoever makes up key ids cannot make us ask again.
    for _ in 0..10 {
        assert!(matches!(judge(&new, 1).await, Err(JwtError::UnknownKey)));
    }
    assert_eq!(issuer.asked(), 1);
    assert!(judge(&new, 31).await.is_ok());
    assert_eq!(issuer.asked(), 2);
    issuer.break_with(Some(500));
    assert!(judge(&old, 700).await.is_ok());
    assert!(judge(&new, 20_000).await.is_ok());
    assert!(judge(&new, 100_000).await.is_err());
    issuer.break_with(None);
    issuer.publish(&[&new]);
    assert!(judge(&new, 100_100).await.is_ok());
    assert!(matches!(judge(&old, 100_101).await, Err(JwtError::UnknownKey)));
}

#[tokio::test]
async fn an_issuer_that_is_away_at_first_is_asked_again_later() {
    let key = Key::edwards("k");
    let issuer = Issuer::start(&[&key]).await;
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    let token = key.sign(&claims(&issuer, json!({})));
    for status in [302, 404, 500] {
        issuer.break_with(Some(status));
        assert!(matches!(judge(&authorizer, &token).await, Err(JwtError::Issuer(_))));
    }
    issuer.break_with(None);
    assert!(matches!(judge(&authorizer, &token).await, Err(JwtError::Issuer(_))), "it was asked just now");
    assert!(authorizer.verify(&token, "writer", at(NOW + 30)).await.is_ok());
}

#[tokio::test]
async fn who_leaves_while_the_issuer_is_asked_leaves_its_answer_to_the_others() {
    let key = Key::edwards("k");
    let issuer = Issuer::start(&[&key]).await;
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["writer"]}));
    let token = key.sign(&claims(&issuer, json!({})));
    tokio::select! {
        biased;
        judged = judge(&authorizer, &token) => panic!("the issuer has answered already: {judged:?}"),
        () = std::future::ready(()) => {}
    }
    assert!(judge(&authorizer, &token).await.is_ok());
    assert_eq!(issuer.asked(), 1);
}

/// That a signature was right once says nothing about the time, the rules, or other keys.
#[tokio::test]
async fn a_token_that_was_accepted_is_judged_again_each_time() {
    let (old, new) = (Key::elliptic(Algorithm::ES384, "k"), Key::elliptic(Algorithm::ES384, "k"));
    let issuer = Issuer::start(&[&old]).await;
    let token = old.sign(&claims(&issuer, json!({"exp": NOW + 100, "nbf": null})));
    let (strict, other) = (
        authorizer(&issuer, json!({"allowedClients": ["web"]})),
        authorizer(&issuer, json!({"allowedClients": ["cli"]})),
    );
    for _ in 0..2 {
        assert!(judge(&strict, &token).await.is_ok());
        assert!(matches!(judge(&other, &token).await, Err(JwtError::Claim(_))));
    }
    let (message, signature) = token.rsplit_once('.').unwrap();
    let spoilt = format!("{message}.{}", signature.chars().rev().collect::<String>());
    assert!(judge(&strict, &spoilt).await.is_err());
    let late = strict.verify(&token, "writer", at(NOW + 160)).await.unwrap_err();
    assert!(matches!(late, JwtError::Expired), "{late}");
    issuer.publish(&[&new]);
    let withdrawn = strict.verify(&token, "writer", at(NOW + 700)).await.unwrap_err();
    assert!(matches!(withdrawn, JwtError::Signature), "another key of that name: {withdrawn}");
}

/// As Microsoft Entra's older issuers do: their metadata is not where their name says.
#[tokio::test]
async fn an_issuer_whose_metadata_is_elsewhere_is_taken_and_speaks_for_nobody_elses_callers() {
    let key = Key::rsa(Algorithm::RS256, "a", "k");
    let issuer = Issuer::start(&[&key]).await;
    let name = "https://sts.windows.net/9e7a4b6c-0000-0000-0000-000000000000/";
    issuer.call_itself(name);
    let authorizer = authorizer(&issuer, json!({"allowedAudience": ["api://writer"]}));
    let entra =
        |iss: &str| key.sign(&claims(&issuer, json!({"iss": iss, "aud": "api://writer", "ver": "1.0"})));
    let admitted = judge(&authorizer, &entra(name)).await.unwrap();
    let identity = Identity::Token { issuer: issuer.url.clone(), subject: Subject::Named("alice".into()) };
    assert_eq!(admitted.identity(), &identity, "named after who vouches for her");
    for other in [&*issuer.url, "https://sts.windows.net/another/", name.trim_end_matches('/')] {
        let refused = judge(&authorizer, &entra(other)).await;
        assert!(matches!(&refused, Err(JwtError::Claim(claim)) if claim == "iss"), "{other}: {refused:?}");
    }
}
