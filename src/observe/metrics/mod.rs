//! Figures of the whole service, for `GET /metrics`.
//!
//! An instance counts what happens in it ([`pending`]), and adds it to the database in batches ([`registry`]), beside
//! the answers. So what any instance reads from there is of all of them, those that have ended too. [`text`] writes it
//! as Prometheus reads it; [`family`] lists what there is. Models and Spaces are those of the catalogue, and everything
//! else is `other`: the number of figures is bounded.

pub mod access;
pub mod family;
pub mod labels;
pub mod pending;
pub mod registry;
pub mod text;
