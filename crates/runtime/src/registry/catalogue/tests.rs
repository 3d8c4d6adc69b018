use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn definition(program: &str) -> AgentDefinition {
    AgentDefinition::new("writer", program, "/srv")
}

fn settings() -> Settings {
    Settings::local("arn:aws:iam::000000000000:role/local")
}

fn created() -> (Catalogue, Runtime) {
    let mut catalogue = Catalogue::new(AwsIdentity::default(), Vec::new());
    let new = NewRuntime { settings: settings(), definition: definition("/bin/1"), tags: Tags::new() };
    let runtime = catalogue.create(new, at(1)).unwrap();
    catalogue.apply(Change::Put(Arc::new(runtime.clone())));
    (catalogue, runtime)
}

#[test]
fn default_follows_the_newest_version_and_others_stay() {
    let (_, runtime) = created();
    let runtime = runtime.with_endpoint("prod", None, (None, Tags::new()), at(2)).unwrap();
    let runtime = runtime.with_version(settings(), definition("/bin/2"), at(3)).unwrap();
    assert_eq!((runtime.endpoints["DEFAULT"].version, runtime.endpoints["prod"].version), (2, 1));
    assert_eq!(runtime.endpoints["DEFAULT"].updated_at, at(3));
    let moved = runtime.with_endpoint_changed("prod", Some("2"), None, at(4)).unwrap();
    assert_eq!((moved.endpoints["prod"].version, moved.endpoints["prod"].created_at), (2, at(2)));
    assert!(matches!(
        runtime.with_endpoint_changed("DEFAULT", Some("1"), None, at(4)),
        Err(RegistryError::Conflict(_))
    ));
}

#[test]
fn a_number_is_never_used_twice() {
    let (_, runtime) = created();
    let runtime = runtime.with_endpoint("prod", Some("1"), (None, Tags::new()), at(2)).unwrap();
    let runtime = runtime.with_version(settings(), definition("/bin/2"), at(3)).unwrap();
    assert!(matches!(runtime.without_version(2), Err(RegistryError::Conflict(_))));
    assert!(matches!(runtime.without_version(1), Err(RegistryError::Conflict(_))));
    assert!(matches!(runtime.without_version(9), Err(RegistryError::NotFound { .. })));
    let runtime = runtime.with_version(settings(), definition("/bin/3"), at(4)).unwrap();
    let runtime = runtime.without_version(2).unwrap();
    assert_eq!(runtime.versions.keys().copied().collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_runtime_is_found_by_arn_id_and_name() {
    let (catalogue, runtime) = created();
    for text in [&*runtime.id, "writer", &catalogue.identity.runtime(&runtime.id)] {
        assert_eq!(catalogue.endpoint(text, None).unwrap().1, "DEFAULT");
    }
    for text in ["reader", "writer-0000000000", "", "arn:aws:s3:::writer"] {
        assert!(matches!(catalogue.runtime(text), Err(RegistryError::NotFound { .. })), "{text}");
    }
    assert!(catalogue.endpoint("writer", Some("prod")).is_err());
}

#[test]
fn names_are_taken_once() {
    let (catalogue, _) = created();
    let new = NewRuntime { settings: settings(), definition: definition("/bin/1"), tags: Tags::new() };
    assert!(matches!(catalogue.create(new, at(2)), Err(RegistryError::Conflict(_))));
}

#[test]
fn tags_belong_to_a_runtime_or_an_endpoint_and_are_bounded() {
    let (_, runtime) = created();
    let tags = Tags::from([("team".to_owned(), "red".to_owned())]);
    let tagged = runtime.with_tags(Some("DEFAULT"), tags.clone()).unwrap();
    assert_eq!(tagged.tags(Some("DEFAULT")).unwrap(), &tags);
    assert!(tagged.tags(None).unwrap().is_empty());
    let many: Tags = (0..51).map(|number| (number.to_string(), String::new())).collect();
    assert!(matches!(runtime.with_tags(None, many), Err(RegistryError::TooMany(_))));
}

/// A change of a runtime, as random histories make them.
#[derive(Debug, Clone)]
enum Step {
    Update,
    DeleteVersion(u32),
    Point(&'static str, Option<u32>),
    Delete(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = prop::sample::select(&["DEFAULT", "prod", "staging"]);
    let step = prop_oneof![
        Just(Step::Update),
        (1u32..8).prop_map(Step::DeleteVersion),
        (name.clone(), prop::option::of(1u32..8)).prop_map(|(name, version)| Step::Point(name, version)),
        name.prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 0..40)
}

fn take(runtime: &Runtime, step: &Step, now: Timestamp) -> Result<Runtime, RegistryError> {
    match step {
        Step::Update => runtime.with_version(settings(), definition("/bin/n"), now),
        Step::DeleteVersion(number) => runtime.without_version(*number),
        Step::Point(name, version) => {
            let version = version.map(|version| version.to_string());
            let made = runtime.with_endpoint(name, version.as_deref(), (None, Tags::new()), now);
            made.or_else(|_| runtime.with_endpoint_changed(name, version.as_deref(), None, now))
        }
        Step::Delete(name) => runtime.without_endpoint(name),
    }
}

proptest! {
    #[test]
    fn whatever_is_done_endpoints_mean_versions_that_are_there_and_numbers_only_rise(steps in steps()) {
        let (_, mut runtime) = created();
        for (millis, step) in (2..).zip(&steps) {
            let before = runtime.clone();
            let Ok(after) = take(&before, step, at(millis)) else { continue };
            runtime = after;
            let newest = runtime.newest().map(|(number, _)| number);
            prop_assert_eq!(Some(runtime.endpoints[DEFAULT_ENDPOINT].version), newest);
            prop_assert!(runtime.endpoints.values().all(|endpoint| runtime.versions.contains_key(&endpoint.version)));
            prop_assert!(runtime.last_version >= before.last_version);
            for number in runtime.versions.keys().filter(|number| !before.versions.contains_key(number)) {
                prop_assert!(*number > before.last_version, "{} was used before", number);
            }
            let pruned = runtime.with_versions_at_most(2);
            prop_assert!(pruned.endpoints.values().all(|endpoint| pruned.versions.contains_key(&endpoint.version)));
        }
    }

    #[test]
    fn any_text_names_a_runtime_or_none(text in "(arn:)?[a-z:/-]{0,20}(runtime/)?\\PC{0,30}") {
        let (catalogue, _) = created();
        prop_assert!(catalogue.resource(&text).is_err() || text.contains("writer"));
    }
}

#[test]
fn a_runtime_has_a_thousand_versions_and_no_more() {
    let (_, mut runtime) = created();
    for number in 2..=1_000 {
        runtime = runtime.with_version(settings(), definition("/bin/1"), at(number)).unwrap();
    }
    let more = |runtime: &Runtime| runtime.with_version(settings(), definition("/bin/1"), at(2_000));
    assert!(matches!(more(&runtime), Err(RegistryError::TooMany(_))));
    assert!(more(&runtime.without_version(1).unwrap()).is_ok());
}
