//! An authority of this machine, for development.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints,
};
use vestibule_config::CertificateFiles;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::self_signed::{SKEW, server_params};
use crate::{Certificate, Error};

const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Apple's systems take no more than 825 days, even from an authority that the user added.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Who holds the lock makes two keys meanwhile: some milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// An authority of this machine, for development: it can vouch for `localhost`, `127.0.0.1` and `::1` and no other name
/// (RFC 5280 4.2.1.10), so a browser that trusts it trusts it with nothing else, should its key be stolen.
#[derive(Debug)]
pub struct LocalAuthority {
    directory: PathBuf,
    files: CertificateFiles,
    authority: Certificate,
}

impl LocalAuthority {
    /// The authority kept in `directory`; made when there is none, or when it ends within 90 days. The directory is for
    /// its owner alone (0700), the keys too (0600): where others could read them that is mended, and logged. Blocks; waits
    /// up to 10 s for another that is at it.
    ///
    /// # Errors
    /// The directory cannot be used, or others may write to it; what is kept there is damaged.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        prepare(directory)?;
        let _lock = lock(directory)?;
        let files = CertificateFiles { certificate: directory.join("ca.pem"), key: directory.join("ca.key") };
        let kept = files.certificate.exists() && files.key.exists();
        if !kept {
            make_authority(&files)?;
        }
        let mut authority = Certificate::read(&files)?.0;
        if ends_within(&authority, LIFE) {
            make_authority(&files)?;
            authority = Certificate::read(&files)?.0;
        }
        restrict(&files.key)?;
        Ok(Self { directory: directory.to_owned(), files, authority })
    }

    /// The authority's certificate, to be trusted by browsers of this machine.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    /// A certificate for `localhost`, `127.0.0.1` and `::1`, for 90 days; made anew when it ends in less than 7. Blocks as
    /// [`Self::open`] does.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn localhost(&self) -> Result<CertificateFiles, Error> {
        let _lock = lock(&self.directory)?;
        let files = CertificateFiles {
            certificate: self.directory.join("localhost.pem"),
            key: self.directory.join("localhost.key"),
        };
        // What cannot be read, or is of an authority before this one, is made anew.
        let good = Certificate::read(&files)
            .is_ok_and(|(kept, _)| !ends_within(&kept, RENEW_BEFORE) && self.has_signed(&kept));
        if !good {
            self.make_localhost(&files)?;
        }
        restrict(&files.key)?;
        Ok(files)
    }

    fn make_localhost(&self, files: &CertificateFiles) -> Result<(), Error> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let failed = |error: rcgen::Error| Error::Make { names: names.join(", "), reason: error.to_string() };
        let (certificate, key) = (text(&self.files.certificate)?, text(&self.files.key)?);
        let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key).map_err(failed)?)
            .map_err(failed)?;
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = server_params(&names, LIFE).map_err(failed)?;
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&key, &issuer).map_err(failed)?;
        write(&files.key, &key.serialize_pem(), 0o600)?;
        write(&files.certificate, &signed.pem(), 0o644)
    }

    fn has_signed(&self, certificate: &Certificate) -> bool {
        let (Some(authority), Some(leaf)) = (self.authority.chain().first(), certificate.chain().first())
        else {
            return false;
        };
        match (X509Certificate::from_der(authority), X509Certificate::from_der(leaf)) {
            (Ok((_, authority)), Ok((_, leaf))) => {
                leaf.verify_signature(Some(authority.public_key())).is_ok()
            }
            _ => false,
        }
    }
}

fn make_authority(files: &CertificateFiles) -> Result<(), Error> {
    let failed =
        |error: rcgen::Error| Error::Make { names: "an authority".to_owned(), reason: error.to_string() };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 1], 32)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
                std::net::Ipv6Addr::LOCALHOST.octets(),
                128,
            )),
        ],
        excluded_subtrees: Vec::new(),
    });
    // Two authorities must not have one name: a browser that knows the old would try it on what the new one signed.
    let mark: String = params.key_identifier(&key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Vestibule local authority {mark}"));
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - SKEW).into(), (now + AUTHORITY_LIFE).into());
    let certificate = params.self_signed(&key).map_err(failed)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.certificate, &certificate.pem(), 0o644)?;
    tracing::info!(file = %files.certificate.display(), "made an authority for localhost");
    Ok(())
}

fn ends_within(certificate: &Certificate, span: Duration) -> bool {
    certificate.not_after() < SystemTime::now() + span
}

fn prepare(directory: &Path) -> Result<(), Error> {
    let fault = |source| Error::Write { file: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(fault)?;
    let mode = fs::metadata(directory).map_err(fault)?.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(Error::OpenToOthers { directory: directory.to_owned(), mode });
    }
    if mode & 0o077 != 0 {
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(fault)?;
        tracing::warn!(
            "{}: others could look into it (mode {mode:03o}); it is for its owner alone now (700)",
            directory.display()
        );
    }
    Ok(())
}

fn restrict(key: &Path) -> Result<(), Error> {
    let fault = |source| Error::Write { file: key.to_owned(), source };
    let mode = fs::metadata(key).map_err(fault)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        fs::set_permissions(key, Permissions::from_mode(0o600)).map_err(fault)?;
        tracing::warn!(
            "{}: others could read this key (mode {mode:03o}); it is for its owner alone now (600). If somebody may have \
             taken it, remove the directory that it is in: another authority is made, to be trusted in place of this one",
            key.display()
        );
    }
    Ok(())
}

/// Two that start at once must not each write half of a pair.
fn lock(directory: &Path) -> Result<File, Error> {
    let file = directory.join("lock");
    let fault = |source| Error::Write { file: file.clone(), source };
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&file).map_err(fault)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { directory: directory.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        }
    }
}

fn text(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|source| Error::Read { file: file.to_owned(), source })
}

/// Whole or not at all: written beside, brought to the disk, and put in its place.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let beside = file.with_extension("new");
    let written = || -> io::Result<()> {
        // What a crash left behind; the lock says that nobody writes it now.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut new = OpenOptions::new().create_new(true).write(true).mode(mode).open(&beside)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, file)
    };
    written().map_err(|source| Error::Write { file: file.to_owned(), source })
}
