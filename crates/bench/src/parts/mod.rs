//! Parts of what is measured, a file each.

pub(crate) mod component;
pub(crate) mod fairness;
pub(crate) mod generations;
pub(crate) mod inline;
pub(crate) mod links;
pub(crate) mod models;
pub(crate) mod sizes;
pub(crate) mod starts;
pub(crate) mod streams;
