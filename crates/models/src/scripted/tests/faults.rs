//! What is said about files that are no scripts.

use super::*;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let fault = Script::parse(text).expect_err("a script that is refused");
    for part in expected {
        assert!(fault.contains(part), "{fault}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_rule() {
    check(
        "[[rule]]\nwhen = { turn = 1 }\nsay = 'a'\n[[rule]]\nname = 'x'\nsya = 'b'",
        &["rule 2 (x)", "unknown field `sya`", "`say`"],
    );
    check(
        "[[rule]]\nwhen = { machtes = 'a' }\nsay = 'a'",
        &["rule 1", "unknown field `machtes`", "`matches`"],
    );
    check("[[rule]]\nsay = 'a'\nusage = { inputs = 1 }", &["rule 1", "unknown field `inputs`"]);
    check("[[rules]]\nsay = 'a'", &["line 1", "unknown field `rules`"]);
    check("[default]\nchunk = 3\n[[rule]]\nsay = 'a'", &["unknown field `default`"]);
}

#[test]
fn a_wrong_value_is_named_with_what_would_be_right() {
    check("[[rule]]\nsay = 3", &["rule 1", "invalid type: integer `3`, expected a string"]);
    check("[[rule]]\nsay = 'a'\nchunk = 0", &["rule 1", "`chunk` must be"]);
    check("[defaults]\nchunk = 'lines'", &["defaults", "`chunk` must be"]);
    check("[[rule]]\nsay = 'a'\ndelay_ms = 600001", &["rule 1", "`delay_ms` may be at most 600000"]);
    check("[[rule]]\nsay = 'a'\nstop = 'error'", &["rule 1", "`stop` must be `end_turn`"]);
    check(
        "[[rule]]\nerror = { kind = 'bad', message = '' }",
        &["rule 1", "error", "`kind` must be `refused`"],
    );
    check(
        "[[rule]]\nwhen = { turn = -1 }\nsay = 'a'",
        &["rule 1", "when", "`turn` must be a number or a range"],
    );
    check("[[rule]]\nwhen = { turn = { form = 1 } }\nsay = 'a'", &["`turn` must be a number or a range"]);
    check(
        "[[rule]]\nwhen = { matches = '(' }\nsay = 'a'",
        &["rule 1", "`matches` is no regular expression", "unclosed"],
    );
    check(
        "[[rule]]\nwhen = { matches = '\\w{1000}{1000}' }\nsay = 'a'",
        &["`matches` is no regular expression"],
    );
    check(
        "[[rule]]\nwhen = { contains = 'a' }\nsay = '{{ 1 }}'",
        &["rule 1", "say", "`{{ 1 }}` is no variable"],
    );
    check("[[rule]]\njson = 3", &["rule 1", "json", "must be a table"]);
    check("say = [", &["line 1"]);
}

#[test]
fn a_script_needs_one_fallback_and_it_is_the_last_rule() {
    check("", &["the last rule must be one without `when`"]);
    check("[[rule]]\nwhen = { turn = 1 }\nsay = 'a'", &["the last rule must be one without `when`"]);
    check("[[rule]]\nsay = 'a'\n[[rule]]\nsay = 'b'", &["rule 1", "would never be tried"]);
    check("[[rule]]\nwhen = {}\nsay = 'a'", &["rule 1", "asks for nothing"]);
    check("[[rule]]\nname = 'a'", &["rule 1 (a)", "gives no answer"]);
    check("[[rule]]\nwhen = { equals = 'a', contains = 'b' }\nsay = 'a'", &["exclude each other"]);
    check("[[rule]]\nwhen = { equals = 'a', tool = 'b' }\nsay = 'a'", &["ask for one of them"]);
    check(&"[[rule]]\nsay = 'a'\n".repeat(501), &["at most 500 rules"]);
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn every_toml_file_of_the_folder_is_a_script_beside_the_built_in_ones() {
    let folder = folder(&[
        ("b.toml", "[[rule]]\nsay = 'b'"),
        ("a.toml", "[[rule]]\nsay = 'a'"),
        ("notes.txt", "?"),
        (".b.toml", "?"),
    ]);
    let scripts = Scripts::load(folder.path()).unwrap();
    assert_eq!(scripts.names().collect::<Vec<_>>(), ["a", "b", "demo"]);
    assert_eq!(text_of(&events(&scripts, &Request { model: "b".into(), ..Request::default() })), "b");
}

#[test]
fn a_file_of_the_folder_replaces_the_built_in_script_of_its_name() {
    let folder = folder(&[("demo.toml", "[[rule]]\nsay = 'mine'")]);
    let scripts = Scripts::load(folder.path()).unwrap();
    assert_eq!(text_of(&events(&scripts, &Request { model: "demo".into(), ..Request::default() })), "mine");
}

#[test]
fn a_faulty_file_is_named() {
    let fault = |files: &[(&str, &str)]| Scripts::load(folder(files).path()).unwrap_err().to_string();
    let wrong = fault(&[("wrong.toml", "[[rule]]\nsay = 'a'\nx = 1")]);
    assert!(wrong.contains("wrong.toml: rule 1: unknown field `x`"), "{wrong}");
    assert!(fault(&[("a b.toml", "")]).contains("cannot name a script"));
    let long = format!("#{}", "x".repeat(256 * 1024));
    assert!(fault(&[("long.toml", &long)]).contains("is longer than 262144 bytes"));
    let missing = Scripts::load(Path::new("no/such/folder")).unwrap_err().to_string();
    assert!(missing.starts_with("no/such/folder cannot be read: "), "{missing}");
}

#[test]
fn the_number_of_scripts_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..=MAX_SCRIPTS {
        fs::write(folder.path().join(format!("{number}.toml")), "[[rule]]\nsay = ''").unwrap();
    }
    assert!(matches!(Scripts::load(folder.path()), Err(ScriptError::TooMany { .. })));
}
