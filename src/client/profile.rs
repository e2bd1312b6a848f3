//! The member's folder: profiles, pinned partner cards and what was seen before.
//!
//! `profiles/<name>.toml` says how to reach an exchange as whom; `trust/<CODE>.json` holds the partner cards that officials
//! confirmed; the other folders hold records (see [`records`](super::records)). One folder is for one exchange. Files are
//! readable by their owner alone and appear whole or not at all; on Windows those read them who may read the folder above. Secrets are
//! never copied here: a profile names their paths.

use super::{ClientError, Result, files};
use crate::{
    domain::{
        id::{MemberId, PartnerCode, Sha256},
        text::{choices, counted},
    },
    platform, reading,
    sealing::card::PartnerCard,
};
use serde::{Deserialize, Serialize};
use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// The environment variable that names the member's folder.
pub const HOME_VARIABLE: &str = "ENTENTE_HOME";

/// The member's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// How to reach an exchange, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name of its file.
    #[serde(skip)]
    pub name: String,
    /// The address of the exchange, `https://host:port`.
    pub server: String,
    /// Certificates, PEM, that the server's certificate must chain to; the system's own are not consulted.
    pub server_ca: Vec<PathBuf>,
    /// The member's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
    /// Files with age identities, ssh keys or plugin identities, in the order in which they are tried.
    #[serde(default)]
    pub identities: Vec<PathBuf>,
    /// The member; without it the exchange is asked who the certificate belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// IANA time zone in which times are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// A partner card that officials confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub card: PartnerCard,
    pub fingerprint: Sha256,
}

impl Home {
    /// The folder that is named, or `$ENTENTE_HOME`, or `$XDG_CONFIG_HOME/entente`, or `~/.config/entente`; without a name and
    /// `ENTENTE_HOME` on Windows `%LOCALAPPDATA%\entente`. Makes nothing yet.
    pub fn locate(named: Option<&Path>) -> Result<Self> {
        Self::locate_by(named, |name| env::var_os(name))
    }

    fn locate_by(named: Option<&Path>, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = named
            .map(Path::to_owned)
            .or_else(|| variable(HOME_VARIABLE))
            .or_else(|| platform::settings_folder(variable).map(|settings| settings.join("entente")));
        root.map(|root| Self { root })
            .ok_or_else(|| ClientError::usage("there is no home folder to keep profiles in", "set `ENTENTE_HOME`"))
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names of the profiles.
    pub fn profiles(&self) -> Result<Vec<String>> {
        files::names(&self.root.join("profiles"), "toml")
    }

    /// The name of a profile that is meant: the one that is given, or the default, or the only one there is. Whether there is such a profile,
    /// and what it says, is not looked at.
    pub fn profile_name(&self, name: Option<&str>) -> Result<String> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.chosen_profile()?,
        };
        self.profile_path(&name)?;
        Ok(name)
    }

    /// The profile of that name; without one the default, or the only one there is.
    pub fn profile(&self, name: Option<&str>) -> Result<Profile> {
        let name = self.profile_name(name)?;
        let path = self.profile_path(&name)?;
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.no_profile(&name));
            }
            text => text.map_err(|error| ClientError::io("read", &path, &error))?,
        };
        let profile: Profile = toml::from_str(&text).map_err(|error| {
            let above = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = above.matches('\n').count() + 1;
            let fault = reading::worded(error.message());
            ClientError::local(
                format!("`{}` is malformed in line {line}: {fault}", path.display()),
                "fix the file or add the profile again",
            )
        })?;
        Ok(Profile { name, ..profile })
    }

    /// Writes a profile; the first one becomes the default.
    pub fn save_profile(&self, profile: &Profile) -> Result<()> {
        let text = toml::to_string_pretty(profile)
            .map_err(|error| ClientError::local(error.to_string(), "choose paths that are text"))?;
        let path = self.profile_path(&profile.name)?;
        if self.profile(Some(&profile.name)).is_ok_and(|earlier| earlier.member != profile.member) {
            self.forget_seen_end(&profile.name)?;
            self.forget_titles(&profile.name)?;
            self.forget_news(&profile.name)?;
        }
        files::write(&path, text.as_bytes())?;
        if self.default_profile()?.is_none() {
            self.set_default_profile(&profile.name)?;
        }
        Ok(())
    }

    /// Removes a profile; nothing it points at.
    ///
    /// # Errors
    /// When sealed files of it wait to be sent: without the profile no command lists them.
    pub fn remove_profile(&self, name: &str) -> Result<()> {
        let path = self.profile_path(name)?;
        let waiting = self.unsent(name)?;
        if waiting > 0 {
            let files = counted(waiting, "sealed file", "sealed files");
            let help = format!(
                "send what waits with `entente --profile {name} proposal resume`, or discard it with `--discard`; where the exchange \
                 is gone for good, delete `{}`",
                self.uploads_path(name).display()
            );
            return Err(ClientError::usage(format!("the profile `{name}` has {files} to send"), help));
        }
        fs::remove_file(&path).map_err(|error| ClientError::io("remove", &path, &error))?;
        self.forget_seen_end(name)?;
        self.forget_titles(name)?;
        self.forget_news(name)?;
        if self.default_profile()?.as_deref() == Some(name) {
            let marker = self.root.join("default-profile");
            fs::remove_file(&marker).map_err(|error| ClientError::io("remove", &marker, &error))?;
        }
        Ok(())
    }

    /// The profile that is taken when none is named.
    pub fn default_profile(&self) -> Result<Option<String>> {
        let text = files::read(&self.root.join("default-profile"))?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).trim().to_owned()))
    }

    /// Chooses the profile that is taken when none is named.
    pub fn set_default_profile(&self, name: &str) -> Result<()> {
        if !self.profile_path(name)?.exists() {
            return Err(self.no_profile(name));
        }
        files::write(&self.root.join("default-profile"), format!("{name}\n").as_bytes())
    }

    /// Pins a partner card whose fingerprint the partner's officials confirmed; replaces an earlier card of that partner.
    pub fn pin_partner(&self, card: &[u8], expected: &Sha256) -> Result<Pinned> {
        let card = PartnerCard::from_json(card)?;
        let fingerprint = card.fingerprint()?;
        if fingerprint != *expected {
            return Err(ClientError::unverified(
                format!("the card of `{}` has another fingerprint than `{expected}`", card.code),
                "compare what you typed; if it is right, tell the partner's officials and the host's operator",
            ));
        }
        files::write(&self.pin_path(&card.code), &card.canonical()?)?;
        Ok(Pinned { card, fingerprint })
    }

    /// The pinned card of a partner.
    pub fn pinned(&self, code: &PartnerCode) -> Result<Option<Pinned>> {
        let Some(bytes) = files::read(&self.pin_path(code))? else { return Ok(None) };
        let card = PartnerCard::from_json(&bytes).map_err(|error| files::damaged(&self.pin_path(code), &error))?;
        if card.code != *code {
            return Err(files::damaged(&self.pin_path(code), &"it is another partner's card"));
        }
        Ok(Some(Pinned { fingerprint: card.fingerprint()?, card }))
    }

    /// Every pinned card, by code.
    pub fn pins(&self) -> Result<Vec<Pinned>> {
        let mut pins = Vec::new();
        for name in files::names(&self.root.join("trust"), "json")? {
            if let Ok(code) = name.parse() {
                pins.extend(self.pinned(&code)?);
            }
        }
        Ok(pins)
    }

    /// Forgets the pinned card of a partner; whether there was one.
    pub fn unpin_partner(&self, code: &PartnerCode) -> Result<bool> {
        files::remove(&self.pin_path(code))
    }

    fn chosen_profile(&self) -> Result<String> {
        if let Some(name) = self.default_profile()? {
            return Ok(name);
        }
        match self.profiles()?.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(ClientError::usage(
                "there is no profile yet",
                "`entente join` makes one from your registrar's invitation; with a certificate of your own, `entente profile add` does",
            )),
            several => Err(ClientError::usage(
                "several profiles and no default",
                format!("name one of {} with `--profile`, or choose one with `entente profile use`", choices(several)),
            )),
        }
    }

    fn no_profile(&self, name: &str) -> ClientError {
        let help = match self.profiles().unwrap_or_default().as_slice() {
            [] => "make it with `entente profile add`".to_owned(),
            known => format!("the profiles are {}; `entente profile add` makes another one", choices(known)),
        };
        ClientError::usage(format!("there is no profile `{name}`"), help)
    }

    /// Refuses a name that no profile can have, or that is the profile of another member.
    pub(super) fn require_free_profile(&self, name: &str, member: &MemberId) -> Result<()> {
        let exists = self.profile_path(name)?.exists();
        match exists.then(|| self.profile(Some(name))).transpose()? {
            Some(present) if present.member.as_ref() != Some(member) => Err(ClientError::usage(
                format!("the profile `{name}` is that of another member"),
                "choose another name for the new one: `--name`",
            )),
            _ => Ok(()),
        }
    }

    fn profile_path(&self, name: &str) -> Result<PathBuf> {
        let shaped = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && name.as_bytes()[0].is_ascii_alphanumeric();
        if shaped {
            Ok(self.root.join("profiles").join(format!("{name}.toml")))
        } else {
            Err(ClientError::usage(
                format!("`{name}` is not a valid name of a profile"),
                "use letters, digits, `.`, `_` and `-`",
            ))
        }
    }

    pub(super) fn pin_path(&self, code: &PartnerCode) -> PathBuf {
        self.root.join("trust").join(format!("{code}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Profile {
        Profile {
            name: name.into(),
            server: "https://exchange.example:8443".into(),
            server_ca: vec!["server-ca.pem".into()],
            certificate: "avi.pem".into(),
            private_key: "avi.key".into(),
            identities: vec!["avi.age".into()],
            member: Some("ISR:avi.levi".parse().unwrap()),
            zone: Some("Asia/Jerusalem".into()),
        }
    }

    #[test]
    fn profile_reads_back_and_the_first_is_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(&folder.path().join("entente"))).unwrap();
        assert_eq!(home.profile(None).unwrap_err().class().code(), 2);
        home.save_profile(&profile("work")).unwrap();
        home.save_profile(&profile("other")).unwrap();
        assert_eq!(home.profiles().unwrap(), ["other", "work"]);
        assert_eq!(home.profile(None).unwrap(), profile("work"));
        home.set_default_profile("other").unwrap();
        assert_eq!(home.profile(None).unwrap().name, "other");
        home.remove_profile("other").unwrap();
        assert_eq!(home.profile(None).unwrap().name, "work");
        assert!(home.profile(Some("other")).is_err());
    }

    #[test]
    fn home_is_the_folder_that_is_named_then_that_of_the_variable_then_one_among_the_settings() {
        let locate = |named: Option<&str>, set: &[(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value));
            Home::locate_by(named.map(Path::new), variable).map(|home| home.root)
        };
        let settings = [("XDG_CONFIG_HOME", "settings"), ("LOCALAPPDATA", "settings")];
        let set = [("ENTENTE_HOME", "variable"), settings[0], settings[1]];
        assert_eq!(locate(Some("named"), &set).unwrap(), Path::new("named"));
        assert_eq!(locate(None, &set).unwrap(), Path::new("variable"));
        assert_eq!(locate(None, &settings).unwrap(), Path::new("settings").join("entente"));
        let empty = [("ENTENTE_HOME", ""), settings[0], settings[1]];
        assert_eq!(locate(None, &empty).unwrap(), Path::new("settings").join("entente"), "as if it were not set");
        assert_eq!(locate(None, &[]).unwrap_err().class().code(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(&folder.path().join("entente"))).unwrap();
        home.save_profile(&profile("work")).unwrap();
        let mode = |path: &str| fs::metadata(home.root().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("profiles"), mode("profiles/work.toml")), (0o700, 0o700, 0o600));
    }

    #[test]
    fn name_that_leaves_the_folder_is_refused() {
        let home = Home::locate(Some(Path::new("/nowhere"))).unwrap();
        for name in ["", "../x", "a/b", ".hidden"] {
            assert_eq!(home.profile(Some(name)).unwrap_err().class().code(), 2, "{name}");
        }
    }

    #[test]
    fn unknown_key_in_a_profile_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        home.save_profile(&profile("work")).unwrap();
        let path = folder.path().join("profiles/work.toml");
        let text = fs::read_to_string(&path).unwrap() + "\nverify = false\n";
        fs::write(&path, text).unwrap();
        assert!(home.profile(None).unwrap_err().to_string().contains("verify"));
    }
}
