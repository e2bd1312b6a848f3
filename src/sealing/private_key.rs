//! The private key of a certificate as a file has it: bare, or protected by a passphrase (PKCS #8, PBES2).
//!
//! The passphrase is forgotten here at once. The opened key is written nowhere; the copy that is kept is overwritten when it is let go.

use super::identity::{NOBODY_TO_ASK, PassphraseFault, Prompt, SecretText};
use crate::domain::ambient::Rng;
use pkcs8::{
    EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument,
    pkcs5::{
        pbes2::{Parameters, Pbkdf2Prf},
        scrypt,
    },
};
use zeroize::Zeroizing;

/// Why a protected private key was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// No passphrase could be asked for.
    #[error("`{0}` needs a passphrase, and there is no terminal to ask at")]
    NoPassphrase(String),
    /// The file that was named for passphrases gives none.
    #[error("{}", .0.what)]
    PassphraseFile(PassphraseFault),
    /// The passphrase does not open the key.
    #[error("the passphrase for `{0}` is wrong")]
    WrongPassphrase(String),
    /// Protected in another way, or damaged.
    #[error("`{name}` is a protected private key that cannot be read: {problem}")]
    Unreadable {
        /// The file.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl PrivateKeyError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &str {
        match self {
            Self::NoPassphrase(_) => NOBODY_TO_ASK,
            Self::PassphraseFile(fault) => &fault.help,
            Self::WrongPassphrase(_) => "run the command again",
            Self::Unreadable { .. } => {
                "protect it as PKCS #8: `openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in KEY -out PROTECTED`"
            }
        }
    }
}

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// How OpenSSL marked protected keys before PKCS #8.
const LEGACY: &str = "Proc-Type: 4,ENCRYPTED";

/// How hard a passphrase is to guess: 2^14 blocks of 1 KiB sixteen times over, as much work as for an identity. OpenSSL, and with it `curl`,
/// reads nothing that takes more than 32 MiB, so it is less memory.
const SCRYPT: (u8, u32, u32) = (14, 8, 16);

/// A key in PEM (PKCS #8), protected by a passphrase: scrypt and AES-256-CBC, which OpenSSL reads too.
///
/// # Errors
/// When it is no PKCS #8.
pub fn protected(pem: &SecretText, passphrase: &SecretText, rng: &dyn Rng) -> Result<SecretText, pkcs8::Error> {
    let (_, document) = SecretDocument::from_pem(pem.expose())?;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rng.fill(&mut salt);
    rng.fill(&mut iv);
    let (log_n, r, p) = SCRYPT;
    let scrypt = scrypt::Params::new(log_n, r, p, 32).map_err(|_| pkcs8::Error::ParametersMalformed)?;
    let parameters = Parameters::scrypt_aes256cbc(scrypt, &salt, &iv)?;
    let sealed = PrivateKeyInfo::try_from(document.as_bytes())?.encrypt_with_params(parameters, passphrase.expose())?;
    let pem = sealed.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)?;
    Ok(String::clone(&pem).into())
}

/// The key in PEM, free of its passphrase, which `prompt` is asked for; a bare key, and whatever else it is, as it came.
///
/// # Errors
/// When the key is protected and not read.
pub fn unprotected(
    pem: Zeroizing<Vec<u8>>,
    name: &str,
    prompt: &impl Prompt,
) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    let unreadable = |problem: String| PrivateKeyError::Unreadable { name: name.to_owned(), problem };
    let Ok(text) = std::str::from_utf8(&pem) else { return Ok(pem) };
    if text.contains(LEGACY) {
        return Err(unreadable("it is not PKCS #8".to_owned()));
    }
    let Some((_, rest)) = text.split_once(BEGIN) else { return Ok(pem) };
    let (body, _) = rest.split_once(END).ok_or_else(|| unreadable("its last line is missing".to_owned()))?;
    let block = Zeroizing::new(format!("{BEGIN}{body}{END}\n"));
    let (_, document) = SecretDocument::from_pem(&block).map_err(|error| unreadable(error.to_string()))?;
    let protected =
        EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
    let kdf = protected.encryption_algorithm.pbes2().map(|parameters| &parameters.kdf);
    if kdf.is_none_or(|kdf| kdf.pbkdf2().is_some_and(|kdf| kdf.prf == Pbkdf2Prf::HmacWithSha1)) {
        return Err(unreadable(
            "it is protected in a way that is no longer accepted (before PBES2, or by SHA-1)".to_owned(),
        ));
    }
    let opened = |passphrase: &SecretText| {
        // Padding that fits by chance gives bytes that are no key.
        let opened = protected.decrypt(passphrase.expose()).ok()?;
        PrivateKeyInfo::try_from(opened.as_bytes()).ok()?;
        let opened = opened.to_pem("PRIVATE KEY", LineEnding::LF).ok()?;
        Some(Zeroizing::new(opened.as_bytes().to_vec()))
    };
    let purpose = format!("passphrase for the private key {name}");
    if prompt.given(&purpose).is_none()
        && let Some(opened) = prompt.opened_before().iter().find_map(opened)
    {
        return Ok(opened);
    }
    let passphrase = prompt.file_passphrase(&purpose);
    let passphrase = passphrase.ok_or_else(|| match prompt.passphrase_fault() {
        Some(fault) => PrivateKeyError::PassphraseFile(fault),
        None => PrivateKeyError::NoPassphrase(name.to_owned()),
    })?;
    let opened = opened(&passphrase).ok_or_else(|| PrivateKeyError::WrongPassphrase(name.to_owned()))?;
    prompt.has_opened(&passphrase);
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::SystemRng,
        sealing::{identity::NoPrompt, jws::SigningKey, testing},
    };
    use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

    #[derive(Clone)]
    struct Says(&'static str);

    impl Prompt for Says {
        fn passphrase(&self, purpose: &str) -> Option<SecretText> {
            assert_eq!(purpose, "passphrase for the private key avi.key");
            Some(self.0.to_owned().into())
        }

        fn message(&self, _: &str) {}
    }

    fn read(pem: &str, prompt: &impl Prompt) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        unprotected(Zeroizing::new(pem.as_bytes().to_vec()), "avi.key", prompt)
    }

    #[test]
    fn protected_key_signs_once_its_passphrase_is_given() {
        for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let (key, certificate) = testing::certificate(kind);
            let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let info = PrivateKeyInfo::try_from(der.secret_pkcs8_der()).unwrap();
            let parameters =
                pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(2048, b"8 bytes.", &[7; 16]).unwrap();
            let protected = info.encrypt_with_params(parameters, "open sesame").unwrap();
            let protected = protected.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
            let opened = read(&format!("a note\n{}{certificate}", *protected), &Says("open sesame")).unwrap();
            assert!(SigningKey::from_pem(&opened, certificate.as_bytes()).is_ok());
            assert_eq!(read(&protected, &Says("close")), Err(PrivateKeyError::WrongPassphrase("avi.key".into())));
            assert_eq!(read(&protected, &NoPrompt), Err(PrivateKeyError::NoPassphrase("avi.key".into())));
            assert_eq!(**read(&key, &NoPrompt).unwrap(), *key.as_bytes(), "a bare one is nobody's to ask about");
        }
    }

    /// Somebody who typed these for other files, and is asked for no other.
    #[derive(Clone)]
    struct OpenedBefore(&'static [&'static str]);

    impl Prompt for OpenedBefore {
        fn passphrase(&self, purpose: &str) -> Option<SecretText> {
            panic!("asked for {purpose}")
        }

        fn opened_before(&self) -> Vec<SecretText> {
            self.0.iter().map(|typed| (*typed).to_owned().into()).collect()
        }

        fn message(&self, _: &str) {}
    }

    #[test]
    fn key_that_is_protected_here_opens_by_its_passphrase_which_is_asked_for_once() {
        let (key, certificate) = testing::certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        let passphrase = SecretText::from("open sesame".to_owned());
        let sealed = protected(&key.clone().into(), &passphrase, &SystemRng).unwrap();
        let again = protected(&key.clone().into(), &passphrase, &SystemRng).unwrap();
        assert!(sealed.expose() != again.expose(), "salt and vector are drawn each time");
        let opened = read(sealed.expose(), &Says("open sesame")).unwrap();
        assert!(SigningKey::from_pem(&opened, certificate.as_bytes()).is_ok());
        assert!(matches!(read(sealed.expose(), &Says("open barley")), Err(PrivateKeyError::WrongPassphrase(_))));
        let typed = OpenedBefore(&["open barley", "open sesame"]);
        assert_eq!(read(sealed.expose(), &typed).unwrap(), opened);
        assert!(protected(&"no key".to_owned().into(), &passphrase, &SystemRng).is_err());
    }

    #[test]
    fn what_is_protected_in_another_way_is_told_from_what_is_not_protected() {
        let (key, _) = testing::certificate(&rcgen::PKCS_ED25519);
        let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let info = PrivateKeyInfo::try_from(der.secret_pkcs8_der()).unwrap();
        let mut parameters =
            pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(2048, b"8 bytes.", &[7; 16]).unwrap();
        let protected = info.encrypt_with_params(parameters.clone(), "x").unwrap();
        if let pkcs8::pkcs5::pbes2::Kdf::Pbkdf2(kdf) = &mut parameters.kdf {
            kdf.prf = Pbkdf2Prf::HmacWithSha1;
        }
        let protected = EncryptedPrivateKeyInfo::try_from(protected.as_bytes()).unwrap().encrypted_data.to_vec();
        let by_sha1 = EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data: &protected };
        let by_sha1 =
            SecretDocument::try_from(by_sha1).unwrap().to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
        for pem in [
            by_sha1.as_str(),
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        ] {
            let refused = read(pem, &NoPrompt).unwrap_err();
            assert!(matches!(refused, PrivateKeyError::Unreadable { .. }), "{refused:?}");
            assert!(refused.help().contains("openssl pkcs8 -topk8"));
        }
    }
}
