//! Mail by the nation's own server: over TLS, or, on this machine alone and if that is asked for, in the clear.

use super::TellFault;
use crate::client::{ClientError, Result, files};
use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    address::Envelope,
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};
use std::{fmt::Write, fs, net::IpAddr, path::Path, str::FromStr, time::Duration};

/// For one step of the conversation with the server.
const STEP: Duration = Duration::from_secs(20);

/// How a server of mail is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS from a command on; a server that does not know it gets no mail.
    StartTls,
    /// None; on this machine alone.
    Plain,
}

/// A server of mail, as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpServer {
    security: Security,
    host: String,
    port: u16,
}

impl FromStr for SmtpServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || {
            "write it as `smtps://mail.example.org` (TLS), `smtp://mail.example.org` (STARTTLS), or \
             `smtp+plain://127.0.0.1:25` for a server on this machine"
                .to_owned()
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(shape)?;
        let (security, usual) = match scheme {
            "smtps" => (Security::Tls, 465),
            "smtp" => (Security::StartTls, 587),
            "smtp+plain" => (Security::Plain, 25),
            _ => return Err(shape()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(shape)?)),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(usual), str::parse).map_err(|_| shape())?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        if host.is_empty() || port == 0 || !host.chars().all(is_host) {
            return Err(shape());
        }
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if security == Security::Plain && !is_here {
            return Err(format!(
                "`{host}` is another machine, and mail to it would travel in the clear; write `smtps://` or `smtp://`"
            ));
        }
        Ok(Self { security, host: host.to_owned(), port })
    }
}

/// Sends mail.
#[derive(Debug, Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
}

impl Mailer {
    /// A way to send mail from this address by that server.
    ///
    /// `credentials` is a file with the name of the account in its first line and the password in its second, for its owner alone; `authority` a
    /// file with the certificates that the server's is issued by, PEM, in place of those that this machine trusts.
    ///
    /// # Errors
    /// When one of the files cannot be used.
    pub fn new(server: &SmtpServer, from: &str, credentials: Option<&Path>, authority: Option<&Path>) -> Result<Self> {
        let refuse = || ClientError::usage(format!("`{from}` is not an address of mail"), "write `relay@example.org`");
        let from = address(from).ok_or_else(refuse)?;
        let tls = || tls(&server.host, authority);
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .timeout(Some(STEP))
            .hello_name(ClientId::Domain(from.domain().to_owned()))
            .tls(match server.security {
                Security::Tls => Tls::Wrapper(tls()?),
                Security::StartTls => Tls::Required(tls()?),
                Security::Plain => Tls::None,
            });
        if let Some(path) = credentials {
            transport = transport.credentials(read_credentials(path)?);
        }
        Ok(Self { transport: transport.build(), from })
    }

    /// Sends the sentence to an address. `unique` makes the mail's own identifier.
    pub(super) async fn send(
        &self,
        to: &Address,
        sentence: &str,
        now: Timestamp,
        unique: [u8; 16],
    ) -> Result<(), TellFault> {
        let envelope = Envelope::new(Some(self.from.clone()), vec![to.clone()]);
        let envelope = envelope.map_err(|error| TellFault::Refused(error.to_string()))?;
        let mail = self.mail(to, sentence, now, unique);
        self.transport.send_raw(&envelope, mail.as_bytes()).await.map(drop).map_err(|error| fault(&error))
    }

    /// The mail, all of it in ASCII: addresses and names of zones are, and the rest is ours.
    fn mail(&self, to: &Address, sentence: &str, now: Timestamp, unique: [u8; 16]) -> String {
        let (from, unique) = (&self.from, u128::from_be_bytes(unique));
        let date = rfc2822::to_string(&now.to_zoned_datetime(TimeZone::UTC)).unwrap_or_default();
        let mut mail = String::new();
        for (name, value) in [
            ("From", from.to_string()),
            ("To", to.to_string()),
            ("Subject", sentence.to_owned()),
            ("Date", date),
            ("Message-ID", format!("<{unique:032x}@{}>", from.domain())),
            // So that nobody's absence is answered to the relay (RFC 3834).
            ("Auto-Submitted", "auto-generated".to_owned()),
            ("MIME-Version", "1.0".to_owned()),
            ("Content-Type", "text/plain; charset=us-ascii".to_owned()),
        ] {
            write!(mail, "{name}: {value}\r\n").expect("a string takes all");
        }
        format!("{mail}\r\n{sentence}\r\n")
    }
}

/// An address of mail in ASCII.
pub(super) fn address(text: &str) -> Option<Address> {
    text.parse().ok().filter(|_| text.is_ascii())
}

fn tls(host: &str, authority: Option<&Path>) -> Result<TlsParameters> {
    let unusable = |error: &dyn std::fmt::Display| {
        ClientError::local(format!("TLS to `{host}` cannot be set up: {error}"), "check `--smtp` and `--smtp-ca`")
    };
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(path) = authority {
        let pem = fs::read(path).map_err(|error| ClientError::io("read", path, &error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| unusable(&error))?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| unusable(&error))
}

fn read_credentials(path: &Path) -> Result<Credentials> {
    let content = files::read_secret(path)?;
    let lines = str::from_utf8(&content).ok().map(|text| text.lines().collect::<Vec<_>>());
    match lines.as_deref() {
        Some([account, password]) if !account.is_empty() && !password.is_empty() => {
            Ok(Credentials::new((*account).to_owned(), (*password).to_owned()))
        }
        _ => Err(ClientError::local(
            format!("`{}` does not hold an account and its password", path.display()),
            "write the name of the account in its first line, the password in its second, and nothing else",
        )),
    }
}

/// Whether a failure is about this one mail, or would meet all of them.
fn fault(error: &SmtpError) -> TellFault {
    let why = error.to_string();
    let is_about_account = error.status().is_some_and(|code| code.to_string().starts_with("53"));
    if error.is_permanent() && !is_about_account {
        TellFault::Refused(why)
    } else if error.is_transient() {
        TellFault::Passing(why)
    } else {
        TellFault::Away(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Result<(Security, String, u16), String> {
        text.parse().map(|SmtpServer { security, host, port }| (security, host, port))
    }

    #[test]
    fn server_is_reached_by_tls_and_in_the_clear_on_this_machine_alone() {
        let of = |security, host: &str, port| Ok((security, host.to_owned(), port));
        assert_eq!(server("smtps://mail.example.org"), of(Security::Tls, "mail.example.org", 465));
        assert_eq!(server("smtp://mail.example.org:2525/"), of(Security::StartTls, "mail.example.org", 2525));
        assert_eq!(server("smtp+plain://127.0.0.1:2525"), of(Security::Plain, "127.0.0.1", 2525));
        assert_eq!(server("smtp+plain://[::1]"), of(Security::Plain, "::1", 25));
        assert!(server("smtp+plain://mail.example.org").unwrap_err().contains("in the clear"));
        for wrong in
            ["", "mail.example.org", "http://x", "smtps://", "smtps://x:0", "smtps://x:y", "smtps://u@x", "smtp://[::1"]
        {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mail_has_the_sentence_as_subject_and_text_and_nothing_else() {
        let server = "smtp+plain://127.0.0.1:1".parse().unwrap();
        let mailer = Mailer::new(&server, "relay@example.org", None, None).unwrap();
        let now = "2026-03-02T09:30:00Z".parse().unwrap();
        let mail = mailer.mail(&address("avi@example.org").unwrap(), "3 items, none with a date", now, [7; 16]);
        assert_eq!(
            mail.split("\r\n").collect::<Vec<_>>(),
            [
                "From: relay@example.org",
                "To: avi@example.org",
                "Subject: 3 items, none with a date",
                "Date: Mon, 2 Mar 2026 09:30:00 +0000",
                "Message-ID: <07070707070707070707070707070707@example.org>",
                "Auto-Submitted: auto-generated",
                "MIME-Version: 1.0",
                "Content-Type: text/plain; charset=us-ascii",
                "",
                "3 items, none with a date",
                "",
            ]
        );
        for wrong in ["", "relay", "Relay <relay@example.org>", "r\u{e9}lay@example.org", "a@b\r\nBcc: c@d"] {
            assert!(Mailer::new(&server, wrong, None, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn credentials_are_two_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        drop(crate::platform::create_private(&path).unwrap());
        for (content, is_one) in [("relay\nsecret\n", true), ("relay\n", false), ("", false), ("a\nb\nc\n", false)] {
            fs::write(&path, content).unwrap();
            assert_eq!(read_credentials(&path).is_ok(), is_one, "{content}");
        }
    }
}
