use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A Friday at noon, in UTC.
const NOON: Timestamp = Timestamp::from_micros(1_777_636_800_000_000);

fn profile(value: Value) -> Profile {
    let mut profile = Profile::default();
    profile.apply(value.as_object().unwrap()).unwrap();
    profile
}

fn rendered(template: &str, variables: Value, profile: &Profile) -> Result<String, Problem> {
    check(&variables).unwrap();
    let person = Person { external_id: Some("user_42"), profile };
    render(template, variables.as_array().unwrap(), &person, NOON).map(Cow::into_owned)
}

fn named(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name })).collect()
}

#[test]
fn metadata_comes_before_the_profile_and_that_before_the_default() {
    let ana = profile(json!({
        "display_name": "Ana", "locale": "pt-PT", "timezone": "Europe/Lisbon",
        "metadata": {"plan": "gold", "age": 41, "share": 0.5, "vip": true, "locale": "Portuguese", "none": null, "deep": {"a": 1}},
    }));
    let check = |template: &str, expected: &str| {
        let names = [
            "plan",
            "age",
            "share",
            "vip",
            "locale",
            "none",
            "deep",
            "display_name",
            "external_id",
            "timezone",
            "other",
        ];
        assert_eq!(rendered(template, named(&names), &ana).unwrap(), expected, "{template}");
    };
    check("{{ plan }}/{{age}}/{{\tshare\n}}/{{ vip}}", "gold/41/0.5/true");
    check(
        "{{ display_name }} {{ external_id }} {{ locale }} {{ timezone }}",
        "Ana user_42 Portuguese Europe/Lisbon",
    );
    check("[{{ none }}{{ deep }}{{ other }}]", "[]");
    let with_default = json!([{"name": "none", "default": "nobody"}, {"name": "plan", "default": "free"}]);
    assert_eq!(rendered("{{ none }} {{ plan }}", with_default, &ana).unwrap(), "nobody gold");
}

#[test]
fn what_is_not_declared_stays_as_it_is() {
    let nobody = Profile::default();
    for template in [
        "{{ other }}",
        "{{}} {{ }} {{ a b }} {{ name | upper }}",
        "{{#if name}}{{/if}}",
        "{ name } {name} {{ name }",
        "{{ näme }} {{ 1name }} {{",
        "{{{",
    ] {
        assert_eq!(rendered(template, named(&["name"]), &nobody).unwrap(), template);
    }
    assert_eq!(rendered("{{{ name }}}", named(&["name"]), &nobody).unwrap(), "{}");
    let long = "n".repeat(65);
    let template = format!("{{{{ {long} }}}}");
    assert_eq!(rendered(&template, json!([]), &nobody).unwrap(), template);
}

#[test]
fn a_required_variable_without_a_value_is_refused_and_named() {
    let variables = json!([{"name": "plan", "required": true}]);
    let nobody = Profile::default();
    let refusal = rendered("On {{ plan }}.", variables.clone(), &nobody).unwrap_err();
    assert_eq!((refusal.code, refusal.status), (Code::InvalidVariables, 422));
    assert_eq!(refusal.param.as_deref(), Some("variables.plan"));
    assert!(refusal.message.contains("`plan`"));
    // Where nothing asks for it, nothing is missing; a default is a value, and so is an empty text.
    assert_eq!(rendered("On a plan.", variables.clone(), &nobody).unwrap(), "On a plan.");
    let with_default = json!([{"name": "plan", "required": true, "default": "free"}]);
    assert_eq!(rendered("On {{ plan }}.", with_default, &nobody).unwrap(), "On free.");
    let empty = profile(json!({"metadata": {"plan": ""}}));
    assert_eq!(rendered("On {{ plan }}.", variables, &empty).unwrap(), "On .");
}

#[test]
fn the_time_is_that_of_the_person() {
    let template = "{{ now }} {{ date }} {{ time }} {{ weekday }}";
    let all = named(&["now", "date", "time", "weekday"]);
    let check = |profile: &Profile, variables: &Value, expected: &str| {
        assert_eq!(rendered(template, variables.clone(), profile).unwrap(), expected);
    };
    check(&Profile::default(), &all, "2026-05-01T12:00:00+00:00 2026-05-01 12:00 Friday");
    let kiritimati = profile(json!({"timezone": "Pacific/Kiritimati"}));
    check(&kiritimati, &all, "2026-05-02T02:00:00+14:00 2026-05-02 02:00 Saturday");
    // Whatever gives them another value wins, and undeclared they are text.
    let own = profile(json!({"metadata": {"date": "today"}}));
    let with_default = json!([{"name": "date"}, {"name": "time", "default": "soon"}]);
    check(&own, &with_default, "{{ now }} today soon {{ weekday }}");
    let required = json!([{"name": "date", "required": true}]);
    assert_eq!(rendered("{{ date }}", required, &Profile::default()).unwrap(), "2026-05-01");
}

#[test]
fn text_that_grows_too_long_is_refused() {
    let ana = profile(json!({"metadata": {"long": "x".repeat(10_000)}}));
    let fits = "{{ long }}".repeat(RENDERED_BYTES / 10_000);
    assert_eq!(rendered(&fits, named(&["long"]), &ana).unwrap().len(), RENDERED_BYTES);
    for too_long in [format!("{fits}y"), format!("y{fits}"), "{{ long }}".repeat(20_000)] {
        let refusal = rendered(&too_long, named(&["long"]), &ana).unwrap_err();
        assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidVariables, Some("instructions")));
    }
}

#[test]
fn a_wrong_declaration_is_refused_and_the_entry_named() {
    let entry = |fields: Value| {
        let mut entry = json!({"name": "plan"});
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!([{"name": "first"}, entry])
    };
    let many: Vec<String> = (0..=MOST_VARIABLES).map(|number| format!("v{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (variables, param) in [
        (json!({}), "variables"),
        (json!(null), "variables"),
        (named(&many), "variables"),
        (json!([{"name": "a", "default": "x".repeat(DECLARATION_BYTES)}]), "variables"),
        (json!([{"name": "first"}, 7]), "variables[1]"),
        (json!([{}]), "variables[0].name"),
        (json!([{"name": 1}]), "variables[0].name"),
        (json!([{"name": ""}]), "variables[0].name"),
        (json!([{"name": "1a"}]), "variables[0].name"),
        (json!([{"name": "a b"}]), "variables[0].name"),
        (json!([{"name": "é"}]), "variables[0].name"),
        (json!([{"name": "n".repeat(65)}]), "variables[0].name"),
        (json!([{"name": "plan"}, {"name": "a"}, {"name": "plan"}]), "variables[2].name"),
        (entry(json!({"default": 1})), "variables[1].default"),
        (entry(json!({"description": []})), "variables[1].description"),
        (entry(json!({"required": "yes"})), "variables[1].required"),
        (entry(json!({"required": null})), "variables[1].required"),
    ] {
        let refusal = check(&variables).unwrap_err();
        assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidVariables, Some(param)));
    }
    for variables in [
        json!([]),
        named(&many[..MOST_VARIABLES]),
        named(&["_", "a.b-c_1", "n".repeat(64).as_str()]),
        entry(json!({"default": null, "description": null, "required": false, "unknown": [1]})),
    ] {
        assert_eq!(check(&variables), Ok(()));
    }
}

#[test]
fn a_placeholder_that_does_not_end_cannot_be_published() {
    let variables = named(&["name", "plan"]);
    let variables = variables.as_array().unwrap();
    for template in
        ["a\nHello {{ name", "a\n{{ name }", "a\n{{name|upper}}", "a\n{{ plan }} {{ name }\n}", "\n{{{name ,"]
    {
        let refusal = check_template(template, variables).unwrap_err();
        assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidVariables, Some("instructions")));
        assert!(refusal.message.contains("`name` in line 2"), "{}", refusal.message);
    }
    for template in
        ["", "{{ name }}", "{{ names }", "{{ other", "{{#name}}", "{ name }", "{{{ name }}}", "{{"]
    {
        assert_eq!(check_template(template, variables), Ok(()), "{template}");
    }
}

proptest! {
    #[test]
    fn a_value_is_never_read_as_a_template(value in r"(\{\{ ?[ab] ?\}\}|[{}ab é]){0,12}") {
        let person = profile(json!({"metadata": {"a": value, "b": "never"}}));
        prop_assert_eq!(rendered("<{{ a }}>", named(&["a", "b"]), &person).unwrap(), format!("<{value}>"));
        let default = json!([{"name": "c", "default": value}, {"name": "a"}]);
        prop_assert_eq!(rendered("{{ c }}", default, &person).unwrap(), value);
    }

    #[test]
    fn text_around_placeholders_stays_and_their_order_too(pieces in prop::collection::vec(("[^{}]{0,8}", 0_usize..4), 0..12)) {
        let person = profile(json!({"metadata": {"a": "1", "b": "2"}}));
        let (mut template, mut expected) = (String::new(), String::new());
        for (text, which) in &pieces {
            template += text;
            expected += text;
            template += ["{{ a }}", "{{b}}", "{{ empty }}", "{{ undeclared }}"][*which];
            expected += ["1", "2", "", "{{ undeclared }}"][*which];
        }
        prop_assert_eq!(rendered(&template, named(&["a", "b", "empty"]), &person).unwrap(), expected);
    }

    #[test]
    fn any_text_renders_and_stays_where_nothing_is_declared(template: String, braced in r"(\{\{|\}\}| |a|b|é|\n){0,20}") {
        for text in [&template, &braced] {
            prop_assert_eq!(&rendered(text, json!([]), &Profile::default()).unwrap(), text);
            let filled = rendered(text, named(&["a"]), &Profile::default()).unwrap();
            prop_assert!(filled.len() <= text.len());
        }
    }

    #[test]
    fn what_may_be_published_leaves_no_declared_placeholder_behind(template in r"(\{\{|\}\}|\{|\}| |a|b|\n){0,20}") {
        let variables = named(&["a"]);
        if check_template(&template, variables.as_array().unwrap()).is_ok() {
            let filled = rendered(&template, json!([{"name": "a", "default": "X"}]), &Profile::default()).unwrap();
            let is_left = |(start, _): (usize, &str)| {
                filled[start..].strip_prefix("{{").is_some_and(|inner| leading_name(inner).0 == "a")
            };
            prop_assert!(!filled.match_indices('{').any(is_left), "{filled}");
        }
    }
}
