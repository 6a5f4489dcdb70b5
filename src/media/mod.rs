//! Images of Spaces, made safe to hand on.
//!
//! [`image`] fetches a file of a Space and lets nothing through that isn't an image; [`link`] signs the addresses under
//! which clients fetch it from here, so that the component never is a proxy for anything else; [`route`] answers them.
//! [`transcode`] writes another format than the Space made, where one is asked for, and [`conversions`] has that done
//! once for all who follow a link.

pub mod config;
pub mod conversions;
pub mod converted;
pub mod fetch;
pub mod file;
pub mod image;
pub mod keyring;
pub mod link;
pub mod remote;
pub mod route;
pub mod stored;
pub mod transcode;
pub mod turn;
