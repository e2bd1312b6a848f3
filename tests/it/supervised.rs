//! What a service manager and a container's probe see of the server.

use crate::harness::{
    process::{Site, ended, heard, server_program, until},
    stage::NATIONS,
};
use std::process::Output;
use tokio::net::UnixDatagram;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn service_manager_hears_when_the_server_serves_reloads_and_stops() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let socket = site.path("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let server = site.serve_for_manager(&socket).await;
    assert_eq!(heard(&manager).await, "READY=1");
    server.signal("HUP").await;
    assert_eq!(heard(&manager).await, "RELOADING=1");
    assert_eq!(heard(&manager).await, "READY=1");
    server.signal("TERM").await;
    assert_eq!(heard(&manager).await, "STOPPING=1");
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn probe_succeeds_only_while_the_server_is_ready() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let listen = format!("admin.listen={}", server.admin);
    let probe = async || site.operate(&["--set", &listen, "health"]).await;
    until("it is ready", async || probe().await.status.success().then_some(())).await;
    assert!(server.stop().await.success());
    assert!(refusal(&probe().await).contains("no server answers on"));
    assert!(refusal(&site.operate(&["health"]).await).contains("`admin.listen` takes any free port"));
    // A probe knows no exit code but 0 and 1, whatever is wrong.
    let missing = ended(server_program(&["--config", "/nowhere/server.toml", "health"])).await;
    assert!(refusal(&missing).contains("cannot read the configuration"));
}

/// What the probe says of a server that is not ready.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}
