//! Session of a request at a Space: work that is done once for all of its jobs there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared};

use super::knowledge::Knowledge;
use crate::catalog::PoolMember;
use crate::generation::{Generation, Purpose, Quality, Size};
use crate::gradio::client::Client;
use crate::gradio::config::{Base, Endpoint};
use crate::gradio::discovery::Profile;
use crate::gradio::discovery::role::{Kind, Role};
use crate::gradio::discovery::signature::{Output, Signature};
use crate::gradio::failure::Failure;
use crate::gradio::space::Space;
use crate::gradio::upload::Uploaded;

/// Call that makes images at a Space.
#[derive(Clone)]
pub(super) struct SpaceCall {
    pub(super) base: Base,
    pub(super) endpoint: Endpoint,
    /// Inputs and outputs of its function.
    pub(super) signature: Rc<Signature>,
}

impl SpaceCall {
    fn new(space: &Space, profile: &Profile, purpose: Purpose) -> Result<Self, Failure> {
        let skill = profile.skill(purpose)?;
        let (base, endpoint) = (profile.base(space), profile.endpoint(space, skill));
        Ok(Self { base, endpoint, signature: Rc::new(skill.signature.clone()) })
    }

    /// True if both call the same function in the same way.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.signature == other.signature
    }

    /// Number of images that one job makes, of `wanted`: all of them where the Space makes an unknown number.
    pub(super) fn at_once(&self, wanted: u32) -> u32 {
        at_once(&self.signature, wanted)
    }
}

/// Session of a request at a Space: its call and its uploads.
pub(super) struct SpaceSession {
    pub(super) member: PoolMember,
    purpose: Purpose,
    client: Client,
    knowledge: Rc<Knowledge>,
    known: RefCell<SharedResult<SpaceCall>>,
    refreshed: SharedResult<SpaceCall>,
    uploads: RefCell<HashMap<Base, SharedResult<Rc<Uploaded>>>>,
}

/// Result that is determined once and shared by all who await it.
type SharedResult<T> = Shared<LocalBoxFuture<'static, Result<T, Failure>>>;

impl SpaceSession {
    pub(super) fn new(member: &PoolMember, purpose: Purpose, client: &Client, knowledge: &Rc<Knowledge>) -> Self {
        let known = RefCell::new(ask(member, purpose, client, knowledge, false));
        let refreshed = ask(member, purpose, client, knowledge, true);
        let (client, knowledge) = (client.clone(), Rc::clone(knowledge));
        Self { member: member.clone(), purpose, client, knowledge, known, refreshed, uploads: RefCell::default() }
    }

    /// Call of the Space by its cached profile; asks the Space where there is none.
    ///
    /// # Errors
    /// Those of [`Knowledge::of`]; [`Failure::Unsupported`] where it can't.
    pub(super) async fn call(&self) -> Result<SpaceCall, Failure> {
        let known = self.known.borrow().clone();
        let outcome = known.await;
        if outcome.is_err() {
            // The next job here asks again.
            *self.known.borrow_mut() = ask(&self.member, self.purpose, &self.client, &self.knowledge, false);
        }
        outcome
    }

    /// Call of the Space by a fresh profile.
    ///
    /// # Errors
    /// As [`SpaceSession::call`].
    pub(super) async fn refreshed(&self) -> Result<SpaceCall, Failure> {
        self.refreshed.clone().await
    }

    /// The request's images as files at the Space: uploaded once for each replica, since replicas don't share files.
    ///
    /// # Errors
    /// Those of [`Uploaded::send`].
    pub(super) async fn uploaded(
        &self,
        client: &Client,
        call: &SpaceCall,
        generation: &Rc<Generation>,
    ) -> Result<Rc<Uploaded>, Failure> {
        let upload = || {
            let (client, base, generation) = (client.clone(), call.base.clone(), Rc::clone(generation));
            async move {
                let sent = Uploaded::send(&client, &base, &generation.images, generation.mask.as_ref()).await;
                sent.map(Rc::new)
            }
            .boxed_local()
            .shared()
        };
        let uploaded = self.uploads.borrow_mut().entry(call.base.clone()).or_insert_with(upload).clone();
        let outcome = uploaded.await;
        if outcome.is_err() {
            // The next job tries again.
            self.uploads.borrow_mut().remove(&call.base);
        }
        outcome
    }

    /// Work of an image of `generation` at the Space, in megapixels times steps.
    pub(super) fn work(&self, generation: &Generation) -> f64 {
        let known = self.knowledge.remembered(&self.member.space);
        let skill = known.as_ref().and_then(|profile| profile.skill(self.purpose).ok());
        work(skill.map(|skill| &skill.signature), generation)
    }

    /// Client for calls to the Space.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

/// Determines the call of the Space of `member`, by the cached profile or, with `refresh`, a fresh one.
fn ask(
    member: &PoolMember,
    purpose: Purpose,
    client: &Client,
    knowledge: &Rc<Knowledge>,
    refresh: bool,
) -> SharedResult<SpaceCall> {
    let (client, knowledge, space) = (client.clone(), Rc::clone(knowledge), member.space.clone());
    let asked = async move {
        let profile =
            if refresh { knowledge.learn(&client, &space).await } else { knowledge.of(&client, &space).await };
        SpaceCall::new(&space, &*profile?, purpose)
    };
    asked.boxed_local().shared()
}

/// Number of images that a job makes, of `wanted`: one, or for an output of several as many as its inputs allow.
fn at_once(signature: &Signature, wanted: u32) -> u32 {
    let count = signature.input(Role::Count).map(|input| {
        let greatest = input.maximum.filter(|_| input.kind == Kind::Number).unwrap_or(1.0);
        let greatest = format!("{:.0}", greatest.clamp(1.0, 64.0)).parse().unwrap_or(1);
        if input.kind == Kind::Choice { wanted } else { greatest }
    });
    match count {
        _ if !signature.outputs.contains(&Output::Gallery) => 1,
        Some(at_once) => at_once.clamp(1, wanted.max(1)),
        None => wanted.max(1),
    }
}

/// Work of an image, in megapixels times steps: as requested, or by the defaults of the Space.
fn work(signature: Option<&Signature>, generation: &Generation) -> f64 {
    let own = |role| signature.and_then(|signature| signature.input(role)).and_then(|input| input.default.as_f64());
    let sides = match generation.size {
        Some(size) => (f64::from(size.width()), f64::from(size.height())),
        None => {
            let usual = f64::from(Size::USUAL.width());
            (own(Role::Width).unwrap_or(usual), own(Role::Height).unwrap_or(usual))
        }
    };
    let steps = generation.steps.map(f64::from).or_else(|| {
        let factor = match generation.quality {
            Some(Quality::Low) => 0.5,
            None | Some(Quality::Medium) => 1.0,
            Some(Quality::High) => 1.5,
            Some(Quality::Max) => 2.0,
        };
        Some(own(Role::Steps)? * factor)
    });
    let megapixels = sides.0 * sides.1 / 1e6;
    let work = megapixels * steps.unwrap_or(8.0);
    if work.is_finite() { work.clamp(0.001, 1e6) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::discovery::signature::Input;

    fn signature(outputs: &[Output], count_to: Option<f64>) -> Signature {
        let input = |greatest| Input {
            name: "num_images".into(),
            label: String::new(),
            kind: Kind::Number,
            role: Some(Role::Count),
            default: 1.into(),
            minimum: Some(1.0),
            maximum: Some(greatest),
            step: Some(1.0),
            choices: vec![],
        };
        Signature { inputs: count_to.map(input).into_iter().collect(), outputs: outputs.to_vec(), generator: false }
    }

    #[test]
    fn a_job_makes_as_many_images_as_the_space_can() {
        assert_eq!(at_once(&signature(&[Output::Image], None), 3), 1);
        assert_eq!(at_once(&signature(&[Output::Gallery], Some(4.0)), 10), 4);
        assert_eq!(at_once(&signature(&[Output::Gallery], Some(4.0)), 2), 2);
        assert_eq!(at_once(&signature(&[Output::Gallery], None), 4), 4);
        assert_eq!(at_once(&signature(&[Output::Image], Some(4.0)), 2), 1, "one output holds one image");
        assert_eq!(at_once(&signature(&[Output::Gallery], Some(1e9)), 5), 5);
    }
}
