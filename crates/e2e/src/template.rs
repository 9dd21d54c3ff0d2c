//! A filled database that tests start from: making keys takes longer than most tests.

use std::fs::File;
use std::path::{Path, PathBuf};

use testkit::postgres;

use crate::process::{copy_folder, output, program};

/// The master key of all test servers on PostgreSQL.
pub(crate) const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

const TOKEN: &str = "admin-token";

/// Names the build, so that a template of an older one is not used.
fn build() -> String {
    let data = std::fs::metadata(program()).expect("the program is there");
    let modified = data.modified().expect("the file system keeps times");
    let age = modified.duration_since(std::time::UNIX_EPOCH).expect("the program is not from before 1970");
    format!("{}_{}", data.len(), age.as_nanos())
}

fn folder() -> PathBuf {
    let mut folder = program();
    folder.pop();
    folder.join("e2e-templates")
}

/// Fills a data folder with what a first start makes, and returns a tenant-admin token.
pub(crate) async fn sqlite(into: &Path) -> String {
    let folder = folder();
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let lock = File::create(folder.join("lock")).expect("the target folder can be written");
    lock.lock().expect("the lock can be taken");
    let template = folder.join(build());
    if !template.join(TOKEN).exists() {
        // Templates of older builds are of no use to anybody.
        for entry in std::fs::read_dir(&folder).expect("the folder is there").flatten() {
            if entry.path().is_dir() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        std::fs::create_dir_all(&template).expect("the target folder can be written");
        let data = template.to_str().expect("the path is text");
        let token = mint(&["--data", data], &[]).await;
        std::fs::write(template.join(TOKEN), token).expect("the target folder can be written");
    }
    copy_folder(&template, into);
    let token = std::fs::read_to_string(into.join(TOKEN)).expect("the template has a token");
    std::fs::remove_file(into.join(TOKEN)).expect("the token file was just copied");
    token
}

/// Makes a database with what a first start makes, and returns it with a tenant-admin token.
pub(crate) async fn postgres() -> (postgres::Database, String) {
    let name = format!("ingram_{}", build());
    let tokens = folder();
    std::fs::create_dir_all(&tokens).expect("the target folder can be written");
    let file = tokens.join(format!("{name}-token"));
    let written = file.clone();
    postgres::ensure_template(&name, async move |url| {
        let environment = [("INGRAM_MASTER_KEY".to_owned(), MASTER_KEY.to_owned())];
        let token = mint(&["--database-url", &url], &environment).await;
        std::fs::write(&written, token)?;
        Ok(())
    })
    .await;
    let database = postgres::database_from(&name).await;
    (database, std::fs::read_to_string(file).expect("the template has a token"))
}

async fn mint(place: &[&str], environment: &[(String, String)]) -> String {
    let mut arguments = vec!["token", "create", "--admin"];
    arguments.extend_from_slice(place);
    let output = output(&arguments, environment).await;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "no token: {complaint}");
    String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
}
