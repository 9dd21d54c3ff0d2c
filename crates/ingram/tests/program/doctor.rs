//! What `doctor` finds, and that it leaves everything as it is.

use super::{Process, output};

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = output(folder.path(), "doctor");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("not there yet") && out.contains("ok    listen        127.0.0.1:8080"), "{out}");
    assert!(!folder.path().join("data").exists(), "a look changes nothing");

    output(folder.path(), "token create --admin");
    let (code, out, _) = output(folder.path(), "doctor");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("ok    database      it can be read and written, schema version"), "{out}");

    std::fs::remove_file(folder.path().join("data/master.key")).unwrap();
    let (code, out, _) = output(folder.path(), "doctor");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("WRONG master key") && out.contains("restore the key file"), "{out}");
}

#[test]
fn the_doctor_finds_a_running_server_well_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path(), "serve --listen 127.0.0.1:0");
    let (code, out, log) = output(folder.path(), "doctor");
    assert_eq!((code, log.as_str()), (0, ""), "{out}");
    for check in [
        "ok    data folder   data",
        "ok    disk ",
        "ok    database      it can be read and written",
        "ok    clock",
    ] {
        assert!(out.contains(check), "{check}: {out}");
    }
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));

    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("data"), open).unwrap();
    let (code, out, _) = output(folder.path(), "doctor");
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("WRONG data folder   data is open to others (mode 755); run: chmod 700 data"),
        "{out}"
    );
}

#[test]
fn the_doctor_finds_what_others_can_read_or_nobody_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ingram.toml");
    std::fs::write(&file, format!("master_key = \"{}\"\n", "07".repeat(32))).unwrap();
    for (mode, code) in [(0o644, 1), (0o640, 0), (0o600, 0)] {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let (ended, out, _) = output(folder.path(), "doctor");
        assert_eq!(ended, code, "{out}");
        let told =
            "ingram.toml holds `master_key` and is open to others (mode 644); run: chmod o= ingram.toml";
        assert_eq!(out.contains(told), code == 1, "{out}");
        assert_eq!(out.contains("is open to its group (mode 640)"), mode == 0o640, "{out}");
        assert!(!out.contains("0707"), "{out}");
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (code, out, _) = output(folder.path(), "doctor --data file");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("WRONG data folder   file is no folder"), "{out}");
    assert!(out.contains("WRONG master key    the master key file file/master.key cannot be read"), "{out}");
}
