//! `spin:variables`.

use wasmtime::component::{Accessor, HasSelf, Linker};

use crate::bindings::spin::variables::variables::{self, Error};
use crate::guest::Guest;

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    variables::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl variables::Host for Guest {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<Guest> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, Error>> {
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            return Ok(Err(Error::InvalidName(name)));
        }
        let value = accessor.with(|mut access| access.get().spin.variables.get(&name).cloned());
        Ok(value.ok_or(Error::Undefined(name)))
    }
}
