//! Session of a request at a Space: work that is done once for all of its jobs there.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared};

use super::knowledge::Knowledge;
use crate::catalog::PoolMember;
use crate::generation::{Generation, Purpose, Quality, Size};
use crate::gradio::client::Client;
use crate::gradio::config::{Base, Endpoint};
use crate::gradio::cookies::CookieJar;
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
        Ok(Self { base, endpoint, signature: Rc::clone(&skill.signature) })
    }

    /// True if both call the same function in the same way.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.signature == other.signature
    }
}

/// Session of a request at a Space: its call and its uploads.
pub(super) struct SpaceSession {
    pub(super) member: PoolMember,
    purpose: Purpose,
    client: Client,
    knowledge: Rc<Knowledge>,
    known: RefCell<Option<SharedResult<SpaceCall>>>,
    refreshed: OnceCell<SharedResult<SpaceCall>>,
    uploads: RefCell<HashMap<Base, SharedResult<Rc<UploadedThere>>>>,
}

/// A request's images at a replica of a Space.
pub(super) struct UploadedThere {
    pub(super) files: Uploaded,
    /// Cookies by which the replica is found.
    pub(super) cookies: CookieJar,
}

/// Result that is determined once and shared by all who await it.
type SharedResult<T> = Shared<LocalBoxFuture<'static, Result<T, Failure>>>;

impl SpaceSession {
    pub(super) fn new(member: &PoolMember, purpose: Purpose, client: &Client, knowledge: &Rc<Knowledge>) -> Self {
        let (client, knowledge) = (client.clone(), Rc::clone(knowledge));
        let (known, refreshed, uploads) = (RefCell::default(), OnceCell::new(), RefCell::default());
        Self { member: member.clone(), purpose, client, knowledge, known, refreshed, uploads }
    }

    /// Call of the Space by its cached profile; asks the Space where there is none.
    ///
    /// # Errors
    /// Those of [`Knowledge::of`]; [`Failure::Unsupported`] where it can't.
    pub(super) async fn call(&self) -> Result<SpaceCall, Failure> {
        let known = self.known.borrow_mut().get_or_insert_with(|| self.ask(false)).clone();
        let outcome = known.await;
        if outcome.is_err() {
            // The next job here asks again.
            self.known.take();
        }
        outcome
    }

    /// Call of the Space by a fresh profile.
    ///
    /// # Errors
    /// As [`SpaceSession::call`].
    pub(super) async fn refreshed(&self) -> Result<SpaceCall, Failure> {
        self.refreshed.get_or_init(|| self.ask(true)).clone().await
    }

    /// Determines the call of the Space, by the cached profile or, with `refresh`, a fresh one.
    fn ask(&self, refresh: bool) -> SharedResult<SpaceCall> {
        let (client, knowledge) = (self.client.clone(), Rc::clone(&self.knowledge));
        let (space, purpose) = (self.member.space.clone(), self.purpose);
        let asked = async move {
            let profile =
                if refresh { knowledge.learn(&client, &space).await } else { knowledge.of(&client, &space).await };
            SpaceCall::new(&space, &*profile?, purpose)
        };
        asked.boxed_local().shared()
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
    ) -> Result<Rc<UploadedThere>, Failure> {
        let upload = || {
            let cookies = CookieJar::new(call.base.origin().clone());
            let (client, base, generation) = (client.with_cookies(&cookies), call.base.clone(), Rc::clone(generation));
            let is_for_editor = call.signature.inputs.iter().any(|input| input.kind == Kind::Editor);
            async move {
                let (images, mask) = (&generation.images, generation.mask.as_ref());
                let sent = Uploaded::send(&client, &base, images, mask, is_for_editor).await;
                sent.map(|files| Rc::new(UploadedThere { files, cookies }))
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
        work(skill.map(|skill| &*skill.signature), generation)
    }

    /// Number of images that one job of `call` makes, of `wanted`.
    pub(super) fn at_once(&self, call: &SpaceCall, wanted: u32) -> u32 {
        at_once(&call.signature, self.knowledge.batch(&self.member.space, self.purpose), wanted)
    }

    /// Takes the number of images that a job has made, `used` of which were wanted. Returns its work, in megapixels
    /// times steps.
    pub(super) fn made(&self, generation: &Generation, made: u32, used: usize) -> f64 {
        let known = self.knowledge.remembered(&self.member.space);
        let skill = known.as_ref().and_then(|profile| profile.skill(self.purpose).ok());
        let signature = skill.map(|skill| &*skill.signature);
        if signature.is_some_and(has_own_number) {
            // However many it makes, it takes the same time.
            self.knowledge.set_batch(&self.member.space, self.purpose, made);
            return work(signature, generation);
        }
        work(signature, generation) * f64::from(u32::try_from(used.max(1)).unwrap_or(u32::MAX))
    }

    /// True where nothing is known of what the Space can do.
    pub(super) fn is_unknown(&self) -> bool {
        self.knowledge.remembered(&self.member.space).is_none()
    }

    /// Client for calls to the Space.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

/// True for functions that make a number of images that no input sets.
fn has_own_number(signature: &Signature) -> bool {
    signature.outputs.contains(&Output::Gallery) && signature.input(Role::Count).is_none()
}

/// Number of images that a job makes, of `wanted`: one, or for an output of several as many as its inputs allow. Where
/// no input sets the number, as many as the last job has made (`batch`), and one before the first.
fn at_once(signature: &Signature, batch: Option<u32>, wanted: u32) -> u32 {
    let wanted = wanted.max(1);
    if has_own_number(signature) {
        return batch.unwrap_or(1).clamp(1, wanted);
    }
    let Some(input) = signature.input(Role::Count).filter(|_| signature.outputs.contains(&Output::Gallery)) else {
        return 1;
    };
    if input.kind == Kind::Choice {
        return wanted;
    }
    let greatest = input.maximum.filter(|_| input.kind == Kind::Number).unwrap_or(1.0);
    let greatest: u32 = format!("{:.0}", greatest.clamp(1.0, 64.0)).parse().unwrap_or(1);
    greatest.clamp(1, wanted)
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
            optional: false,
            minimum: Some(1.0),
            maximum: Some(greatest),
            step: Some(1.0),
            choices: vec![],
        };
        Signature { inputs: count_to.map(input).into_iter().collect(), outputs: outputs.to_vec(), generator: false }
    }

    #[test]
    fn a_job_makes_as_many_images_as_the_space_can() {
        let at_once = |outputs, count_to, batch, wanted| at_once(&signature(outputs, count_to), batch, wanted);
        assert_eq!(at_once(&[Output::Image], None, None, 3), 1);
        assert_eq!(at_once(&[Output::Gallery], Some(4.0), Some(2), 10), 4);
        assert_eq!(at_once(&[Output::Gallery], Some(4.0), None, 2), 2);
        assert_eq!(at_once(&[Output::Image], Some(4.0), None, 2), 1, "one output holds one image");
        assert_eq!(at_once(&[Output::Gallery], Some(1e9), None, 5), 5);
        assert_eq!(at_once(&[Output::Gallery], None, None, 4), 1, "before anybody knows");
        assert_eq!(at_once(&[Output::Gallery], None, Some(3), 4), 3);
        assert_eq!(at_once(&[Output::Gallery], None, Some(3), 2), 2);
    }
}
