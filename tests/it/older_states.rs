//! An exchange that goes back to a backup: whoever saw more says so, keeps what they saw, and goes by it until it is explained.

use crate::{
    harness::{
        process::{Server, Site, ended, entente},
        stage::{pdf, quiet, slug, summary},
    },
    process::{NATIONS, open_proposal, spoken},
};
use std::{fs, path::Path};

/// Copies the database as it stands while nobody has it open.
fn copy(site: &Site, from: &str, to: &str) {
    for ending in ["", "-wal", "-shm"] {
        let (from, to) = (site.path(&format!("{from}{ending}")), site.path(&format!("{to}{ending}")));
        let _ = fs::remove_file(&to);
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
}

async fn run(site: &Site, server: &Server, member: &str, line: &str) -> (i32, String, String) {
    let home = site.point_home(member, server).display().to_string();
    let words: Vec<&str> = ["--home", &home].into_iter().chain(line.split(' ')).collect();
    spoken(ended(entente(&words)).await)
}

#[tokio::test]
async fn every_command_that_meets_an_older_state_says_so_and_keeps_what_it_saw() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let proposal = open_proposal(&world).await;
    let avi = world.client("ISR:avi");
    let plan = site.path("plan.pdf");
    fs::write(&plan, pdf("the plan")).unwrap();
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    avi.put_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    world.stop().await;
    copy(&site, "entente.db", "backup.db");

    let server = site.serve().await;
    for member in ["ISR:avi", "USA:bob"] {
        let (code, _, notes) = run(&site, &server, member, &format!("proposal sign {proposal} --yes")).await;
        assert_eq!(code, 0, "{notes}");
    }
    let (code, said, notes) = run(&site, &server, "USA:bob", &format!("proposal status {proposal}")).await;
    assert!(code == 0 && said.contains("submitted") && notes.is_empty(), "{said}{notes}");
    let (code, _, notes) = run(&site, &server, "USA:bob", "log").await;
    assert_eq!((code, notes.as_str()), (0, ""));
    assert!(server.stop().await.success());
    let home = site.path("homes/USA.bob/seen");
    let kept = |name: &str| fs::read(home.join(name)).unwrap();
    let state = format!("states/{proposal}.json");
    let (seen, log) = (kept(&state), kept("log.json"));

    copy(&site, "backup.db", "entente.db");
    let server = site.serve().await;
    for line in [format!("proposal status {proposal}"), "proposal list".to_owned()] {
        let (code, said, faults) = run(&site, &server, "USA:bob", &line).await;
        assert!(code == 4 && said.contains("preparing"), "{said}{faults}");
        let told = format!("`{proposal}` is shown as preparing, but was submitted in version 1 (manifest ");
        assert!(faults.contains(&told) && faults.contains("older state"), "{faults}");
        assert!(faults.contains(Path::new(&state).file_name().unwrap().to_str().unwrap()), "{faults}");
    }
    // Whatever happens now gets numbers that were given out before.
    let (_, _, faults) = run(&site, &server, "ISR:avi", &format!("proposal withdraw {proposal}")).await;
    assert!(faults.contains("older state"), "he saw what he signed, too: {faults}");
    let (code, _, faults) = run(&site, &server, "USA:bob", "log").await;
    assert!(code == 4 && faults.contains("was seen here before"), "{faults}");
    assert_eq!((kept(&state), kept("log.json")), (seen, log), "what was seen stays");
    // Who saw nothing has nothing to say.
    let (code, _, faults) = run(&site, &server, "USA:dana", &format!("proposal status {proposal}")).await;
    assert!(code == 0 && faults.is_empty(), "{faults}");
    assert!(server.stop().await.success());
}
