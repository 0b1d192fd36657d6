//! countersign: a certificate authority for GitLab pipelines.
//!
//! # The way of a request
//!
//! Every step is a type with private fields and one constructor, so that no step can be skipped. Two functions walk this way:
//! [`issuance::CertificateAuthority::authorize`] up to the template, [`issuance::CertificateAuthority::issue`] from there on.
//!
//! | value | what its existence proves | made by |
//! |---|---|---|
//! | [`token::UnverifiedToken`] | the text is a token; its `iss` may pick a key set, nothing more | [`token`] |
//! | [`token::VerifiedToken`] | signature, `alg`, `iss`, `aud`, `exp`, `nbf`, `iat` hold | [`token`], keys from [`oidc`] |
//! | [`identity::Principal`] | the claims agree with each other and name one subject | [`identity`] |
//! | [`possession::ProvenKey`] | the caller holds the private key, and the key is a good one | [`possession`] |
//! | [`policy::Authorization`] | the operator's rules allow it, and which of them said so | [`policy`] |
//! | [`certificate::Template`] | every octet of the certificate but the CT slot and the signature is fixed | [`certificate`] |
//! | [`certificate::Precertificate`] | the CA signed the template with the poison extension | [`certificate`], [`signer`] |
//! | [`certificate::LoggedPrecertificate`] | the entry is durable in the log, and the log promised it | [`log`], [`store`]; or [`ct_client`] |
//! | [`certificate::CorrespondingTemplate`] | the certificate to be signed is the logged precertificate, octet for octet, but for the CT slot | [`certificate`] |
//! | [`certificate::Certificate`] | the CA signed that | [`certificate`], [`signer`] |
//!
//! The CA's key signs nothing but a [`certificate::ToBeSigned`], which only these steps make.
//!
//! # The layers
//!
//! Imports go one way, and `tests/suite/layers.rs` holds the line:
//!
//! ```text
//! cli, demo -> server -> config, api, ct_client, gitlab, oidc, signer, store, telemetry -> outbound -> leasing -> issuance -> log -> core
//! ```
//!
//! - core, pure and synchronous, with time and randomness as arguments: [`environment`], [`refusal`], [`panics`],
//!   [`protojson`], [`hash`], [`newest`], [`bucket`], [`spelling`], [`condition`], [`token`], [`identity`], [`possession`], [`policy`], [`certificate`], [`transparency`], [`timestamping`], [`rekor`],
//!   [`bundle`], [`broker`];
//! - application, which talks only to traits of its own: [`issuance`], [`leasing`], [`log`];
//! - [`outbound`], the HTTP clients that adapters share;
//! - adapters, which implement those traits and never import each other: [`oidc`], [`gitlab`], [`ct_client`], [`signer`], [`store`],
//!   [`api`], [`telemetry`], [`config`];
//! - outermost: [`server`] puts the parts together, [`cli`] and [`demo`] are what people run.

#![forbid(unsafe_code)]

pub mod broker;
pub mod bucket;
pub mod bundle;
pub mod certificate;
pub mod condition;
pub mod environment;
pub mod hash;
pub mod identity;
pub mod newest;
pub mod panics;
pub mod policy;
pub mod possession;
pub mod protojson;
pub mod refusal;
pub mod rekor;
pub mod spelling;
pub mod timestamping;
pub mod token;
pub mod transparency;

pub mod issuance;
pub mod leasing;
pub mod log;

pub mod outbound;

pub mod api;
pub mod config;
pub mod ct_client;
pub mod gitlab;
pub mod oidc;
pub mod signer;
pub mod store;
pub mod telemetry;

pub mod cli;
pub mod demo;
pub mod server;
