//! What the operator of the host reads about a certificate that was refused, to help its partner with.

use super::*;
use crate::http::{config::LogConfig, leaf::key_of, test_log::Heard};
use rcgen::CustomExtension;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// The server runs on this thread, so what it logs is heard here.
#[tokio::test]
async fn extension_that_refuses_a_certificate_is_named_in_the_log() {
    let ca = Ca::new("Root");
    let world = World::start(vec![ca.of("ISR")]).await;
    let held = ca.leaf(|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    });
    // By itself the client's library would show no such certificate.
    let mut config = world.config(None, &[&TLS13], &[]);
    let key = provider().key_provider.load_private_key(held.key_der()).unwrap();
    let shown = CertifiedKey::new(vec![held.der.clone()], key);
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
    let heard = Heard::listen(&LogConfig::default());
    let mut stream = world.connect_by(config).await.unwrap();
    assert!(stream.read(&mut [0; 64]).await.is_err(), "it is refused");
    let text = heard.text();
    let line = text.lines().find(|line| line.contains("a certificate was refused"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{text}"))).unwrap();
    assert_eq!((&line["reason"], &line["problem"]), (&"critical-extension".into(), &"certificate-refused".into()));
    assert_eq!(
        (&line["partner"], &line["certificate"]),
        (&"ISR".into(), &key_of(&held.der).unwrap().to_string().into())
    );
    assert!(line["refusal"].as_str().unwrap().contains("the critical extension `1.2.3.4`"), "{line}");
}
