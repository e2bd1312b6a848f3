//! Certificate policies along a path (RFC 5280, 6.1): whether one holds from end to end, where an authority requires that.
//!
//! Nobody here asks for a policy of their own, so a path is only refused by what its own certificates require. The tree of the RFC is
//! kept as its lowest level: only whether anything is left of it matters.

use super::super::refusal::CertificateRefusal;
use std::collections::{BTreeMap, BTreeSet};
use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    oid_registry::{Oid, asn1_rs::oid},
};

type Policy = Vec<u8>;

/// anyPolicy, 2.5.29.32.0.
const ANY: &[u8] = &[0x55, 0x1d, 0x20, 0];

/// Where a path stands, from the anchor down.
#[derive(Debug)]
pub(super) struct Policies {
    /// Policies that hold so far, each with what the next certificate may call it.
    held: BTreeMap<Policy, BTreeSet<Policy>>,
    /// Certificates until one must hold, until they may no longer be mapped, and until `anyPolicy` no longer stands for any.
    explicit: u32,
    mapping: u32,
    any: u32,
}

/// What a certificate says of policies.
#[derive(Debug, Default)]
struct CertificatePolicies {
    policies: Option<Vec<Policy>>,
    mappings: Vec<(Policy, Policy)>,
    require_explicit: Option<u32>,
    inhibit_mapping: Option<u32>,
    inhibit_any: Option<u32>,
}

impl Policies {
    /// Begins at an anchor, whose own constraints count though RFC 5280 does not ask for it.
    pub(super) fn begin(anchor: &X509Certificate<'_>) -> Result<Self, CertificateRefusal> {
        let said = CertificatePolicies::read(anchor)?;
        let every = BTreeMap::from([(ANY.to_vec(), BTreeSet::from([ANY.to_vec()]))]);
        let mut policies = Self { held: every, explicit: u32::MAX, mapping: u32::MAX, any: u32::MAX };
        if said.policies.is_some() {
            policies.narrow(said.policies.as_deref(), true);
        }
        policies.prepare(&said)?;
        policies.limit(&said);
        Ok(policies)
    }

    /// Passes an authority between anchor and member.
    pub(super) fn pass(
        &mut self,
        certificate: &X509Certificate<'_>,
        is_self_issued: bool,
    ) -> Result<(), CertificateRefusal> {
        let said = CertificatePolicies::read(certificate)?;
        self.narrow(said.policies.as_deref(), self.any > 0 || is_self_issued);
        self.check()?;
        self.prepare(&said)?;
        if !is_self_issued {
            for count in [&mut self.explicit, &mut self.mapping, &mut self.any] {
                // The largest stands for no limit.
                if *count != u32::MAX {
                    *count = count.saturating_sub(1);
                }
            }
        }
        self.limit(&said);
        Ok(())
    }

    /// Comes to the member's certificate.
    pub(super) fn end(mut self, certificate: &X509Certificate<'_>) -> Result<(), CertificateRefusal> {
        let said = CertificatePolicies::read(certificate)?;
        self.narrow(said.policies.as_deref(), self.any > 0);
        self.check()?;
        if self.explicit != u32::MAX {
            self.explicit = self.explicit.saturating_sub(1);
        }
        if said.require_explicit == Some(0) {
            self.explicit = 0;
        }
        self.check()
    }

    /// 6.1.3 (d) and (e).
    fn narrow(&mut self, said: Option<&[Policy]>, any_counts: bool) {
        let mut next = BTreeMap::new();
        let mut hold = |policy: &Policy| {
            next.entry(policy.clone()).or_insert_with(|| BTreeSet::from([policy.clone()]));
        };
        let said = said.unwrap_or_default();
        for policy in said.iter().filter(|policy| **policy != ANY) {
            if self.held.contains_key(ANY) || self.held.values().any(|expected| expected.contains(policy)) {
                hold(policy);
            }
        }
        if any_counts && said.iter().any(|policy| *policy == ANY) {
            self.held.values().flatten().for_each(hold);
        }
        self.held = next;
    }

    /// 6.1.4 (a) and (b).
    fn prepare(&mut self, said: &CertificatePolicies) -> Result<(), CertificateRefusal> {
        let mut mapped = BTreeMap::<&Policy, BTreeSet<Policy>>::new();
        for (own, theirs) in &said.mappings {
            if own == ANY || theirs == ANY {
                return Err(CertificateRefusal::Malformed("it maps `anyPolicy`"));
            }
            mapped.entry(own).or_default().insert(theirs.clone());
        }
        for (own, theirs) in mapped {
            if self.mapping == 0 {
                self.held.remove(own);
            } else if self.held.contains_key(own) || self.held.contains_key(ANY) {
                self.held.insert(own.clone(), theirs);
            }
        }
        Ok(())
    }

    /// 6.1.4 (i) and (j).
    fn limit(&mut self, said: &CertificatePolicies) {
        self.explicit = self.explicit.min(said.require_explicit.unwrap_or(u32::MAX));
        self.mapping = self.mapping.min(said.inhibit_mapping.unwrap_or(u32::MAX));
        self.any = self.any.min(said.inhibit_any.unwrap_or(u32::MAX));
    }

    fn check(&self) -> Result<(), CertificateRefusal> {
        if self.explicit == 0 && self.held.is_empty() { Err(CertificateRefusal::NoPolicy) } else { Ok(()) }
    }
}

impl CertificatePolicies {
    fn read(certificate: &X509Certificate<'_>) -> Result<Self, CertificateRefusal> {
        let mut said = Self::default();
        let owned = |policy: &Oid<'_>| policy.as_bytes().to_vec();
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::CertificatePolicies(policies) => {
                    let qualifiers = policies.iter().flat_map(|policy| policy.policy_qualifiers.iter().flatten());
                    let known = [oid!(1.3.6.1.5.5.7.2.1), oid!(1.3.6.1.5.5.7.2.2)];
                    let mut unknown = qualifiers.filter(|qualifier| !known.contains(&qualifier.policy_qualifier_id));
                    if extension.critical
                        && let Some(qualifier) = unknown.next()
                    {
                        let oid = qualifier.policy_qualifier_id.to_id_string();
                        return Err(CertificateRefusal::CriticalExtension(format!(
                            "certificatePolicies with the qualifier {oid}"
                        )));
                    }
                    said.policies = Some(policies.iter().map(|policy| owned(&policy.policy_id)).collect());
                }
                ParsedExtension::PolicyMappings(mappings) => {
                    let pairs = mappings.mappings.iter();
                    let pairs =
                        pairs.map(|pair| (owned(&pair.issuer_domain_policy), owned(&pair.subject_domain_policy)));
                    said.mappings = pairs.collect();
                }
                ParsedExtension::PolicyConstraints(constraints) => {
                    said.require_explicit = constraints.require_explicit_policy;
                    said.inhibit_mapping = constraints.inhibit_policy_mapping;
                }
                ParsedExtension::InhibitAnyPolicy(inhibit) => said.inhibit_any = Some(inhibit.skip_certs),
                _ => {}
            }
        }
        Ok(said)
    }
}
