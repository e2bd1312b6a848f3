//! Mail by the nation's own server: over TLS, or, on this machine alone and if that is asked for, in the clear.

use super::TellFault;
use crate::client::{ClientError, Result, files};
use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use lettre::{
    Address,
    transport::smtp::{
        Error as SmtpError,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, Tls, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};
use std::{fmt::Write, fs, net::IpAddr, path::Path, str::FromStr, time::Duration};
use tokio::time::timeout;

/// For the whole conversation with the server about one mail. The transport has no bounds of its own but for the connection.
const PATIENCE: Duration = Duration::from_mins(1);
/// For taking leave of it.
const FAREWELL: Duration = Duration::from_secs(2);

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
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    from: Address,
    patience: Duration,
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
        let tls = match server.security {
            Security::Tls => Tls::Wrapper(tls()?),
            Security::StartTls => Tls::Required(tls()?),
            Security::Plain => Tls::None,
        };
        let credentials = credentials.map(read_credentials).transpose()?;
        Ok(Self { host: server.host.clone(), port: server.port, tls, credentials, from, patience: PATIENCE })
    }

    /// One that waits so long for the server, at each mail.
    #[must_use]
    pub fn waiting_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends the sentence to an address. `unique` makes the mail's own identifier.
    pub(super) async fn send(
        &self,
        to: &Address,
        sentence: &str,
        now: Timestamp,
        unique: [u8; 16],
    ) -> Result<(), TellFault> {
        let mail = self.mail(to, sentence, now, unique);
        let mut goes_out = false;
        let done = timeout(self.patience, self.converse(to, mail.as_bytes(), &mut goes_out)).await;
        match done {
            Ok(Ok(mut server)) => {
                // The mail is taken; what the server says now is of no account.
                let _ = timeout(FAREWELL, server.quit()).await;
                Ok(())
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => {
                let why = format!("`{}` did not answer within {} seconds", self.host, self.patience.as_secs());
                Err(if goes_out { TellFault::Unknown(why) } else { TellFault::Away(why) })
            }
        }
    }

    /// Hands the mail to the server. `goes_out` is set before the first byte of it is sent: what fails earlier is certain to have mailed nobody.
    async fn converse(&self, to: &Address, mail: &[u8], goes_out: &mut bool) -> Result<AsyncSmtpConnection, TellFault> {
        // Whatever the server says before it knows of the mail is not about the mail.
        let mut server = self.connect().await.map_err(|error| TellFault::Away(error.to_string()))?;
        let asked = async {
            server.command(Mail::new(Some(self.from.clone()), Vec::new())).await?;
            server.command(Rcpt::new(to.clone(), Vec::new())).await?;
            server.command(Data).await
        };
        asked.await.map_err(|error| refusal(&error).unwrap_or_else(|| TellFault::Away(error.to_string())))?;
        *goes_out = true;
        let sent = server.message(mail).await;
        sent.map_err(|error| refusal(&error).unwrap_or_else(|| TellFault::Unknown(error.to_string())))?;
        Ok(server)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let hello = ClientId::Domain(self.from.domain().to_owned());
        let (server, wrapper) = (
            (&*self.host, self.port),
            match &self.tls {
                Tls::Wrapper(parameters) => Some(parameters.clone()),
                _ => None,
            },
        );
        let mut server =
            AsyncSmtpConnection::connect_tokio1(server, Some(self.patience), &hello, wrapper, None).await?;
        if let Tls::Required(parameters) = &self.tls {
            server.starttls(parameters.clone(), &hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            server.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(server)
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

/// What a server's refusal means for this mail, or for all of them; none where it did not refuse.
fn refusal(error: &SmtpError) -> Option<TellFault> {
    let (why, code) = (error.to_string(), error.status()?.to_string());
    // It wants the account first, or is about to stop.
    let is_for_all = code.starts_with("53") || code == "421";
    Some(if is_for_all {
        TellFault::Away(why)
    } else if error.is_permanent() {
        TellFault::Refused(why)
    } else {
        TellFault::Passing(why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

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

    /// What becomes of a mail to a server that says these lines, one to each that it hears, and then nothing for so long or farewell.
    async fn sent_to(says: &'static [&'static str], silence: Option<Duration>) -> Result<(), TellFault> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("smtp+plain://{}", listener.local_addr().unwrap()).parse().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for line in says {
                stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
                let mut heard = String::new();
                // The mail ends with a line of its own.
                while stream.read_line(&mut heard).await.is_ok_and(|read| read > 0)
                    && line.starts_with("354")
                    && !heard.ends_with("\r\n.\r\n")
                {}
            }
            if silence.is_some() {
                std::future::pending::<()>().await;
            }
        });
        let mailer = Mailer::new(&server, "relay@example.org", None, None).unwrap();
        let mailer = mailer.waiting_for(silence.unwrap_or(PATIENCE));
        let now = "2026-03-02T09:30:00Z".parse().unwrap();
        let sent = mailer.send(&address("avi@example.org").unwrap(), "3 items, none with a date", now, [7; 16]).await;
        serving.abort();
        sent
    }

    #[tokio::test]
    async fn mail_whose_text_went_out_may_have_arrived_unless_the_server_refuses_it() {
        use TellFault::{Away, Passing, Refused, Unknown};
        static TAKES: [&str; 6] = ["220 here", "250 here", "250 ok", "250 ok", "354 go on", "250 taken"];
        assert_eq!(sent_to(&TAKES, None).await, Ok(()));
        for silent in [&TAKES[..0], &TAKES[..1], &TAKES[..4]] {
            assert!(
                matches!(sent_to(silent, Some(Duration::from_millis(300))).await, Err(Away(why)) if why.contains("did not answer"))
            );
        }
        // Long enough for the server to have taken the text by then.
        let unanswered = sent_to(&TAKES[..5], Some(Duration::from_secs(3))).await;
        assert!(matches!(unanswered, Err(Unknown(why)) if why.contains("did not answer")));
        for broken in [&TAKES[..1], &TAKES[..4]] {
            assert!(matches!(sent_to(broken, None).await, Err(Away(_))));
        }
        assert!(matches!(sent_to(&TAKES[..5], None).await, Err(Unknown(_))), "the answer may be what was lost");
        let refused = sent_to(&["220 here", "250 here", "250 ok", "250 ok", "354 go on", "554 no"], None).await;
        assert!(matches!(refused, Err(Refused(_))), "{refused:?}");
        let later = sent_to(&["220 here", "250 here", "250 ok", "450 later"], None).await;
        assert!(matches!(later, Err(Passing(_))), "{later:?}");
        for stops in [
            &["554 no"][..],
            &["421 busy"],
            &["220 here", "250 here", "421 busy"],
            &["220 here", "250 here", "530 who"],
        ] {
            let stopped = sent_to(stops, None).await;
            assert!(matches!(stopped, Err(Away(_))), "{stops:?}: {stopped:?}");
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
