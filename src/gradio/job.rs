//! One job in a Space's queue: joined, followed, and never left behind.
//!
//! `POST queue/join` puts the job into the queue, `GET queue/data` streams its progress. Queue position and progress
//! exist only there, not on Gradio's newer `/call`. A session hash is made for each job, so that the stream carries its
//! events alone and ends with it. The stream is opened at once after the join: in Gradio 4 and 5 a queued job runs even
//! if nobody reads, and its result is kept for nobody.
//!
//! **Leaving.** A [`Job`] that is dropped before its end is cancelled at the Space: first `POST cancel`, then the
//! stream is closed. In this order, since closing alone leaves the slot of a plain function taken until it returns
//! (measured on Gradio 4.44, 5.50 and 6.31). The join itself runs to its end even when nobody waits for it any longer,
//! so that there is always an event to cancel.

use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::oneshot;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::client::Client;
use super::config::Endpoint;
use super::diff::Yielded;
use super::failure::{Failure, plain};
use super::message::{Completion, Message};
use super::shown::Shown;
use super::sse::Decoder;
use crate::bounded_json::JsonBounds;
use crate::generation::{QueuePosition, StepProgress};
use crate::platform::{Body, Reservation, TransportError, UNCOUNTED, grow, random_hex, timeout};

/// The longest event that is read, in bytes: outputs with images as data URLs come in one.
const MAX_EVENT: usize = 32 << 20;
/// Time limit of a cancel call: nobody waits for it.
const CANCEL: Duration = Duration::from_secs(5);
/// Factor on the idle limit for the answer to a join of which nobody waits any longer: the job is cancelled then.
const PATIENCE: u32 = 2;
/// Time that the rest of a stream is read after the result, so that the connection can be used again.
const DRAIN: Duration = Duration::from_secs(1);

/// Memory that a large event takes while it is read, in multiples of its length: as it comes, whole, as a value, and as
/// the images in it.
const COPIES: usize = 4;
/// Step by which memory is reserved, in bytes.
const STEP: usize = 1 << 20;

/// Number of messages after which others get their turn.
const BREATH: u32 = 256;

/// Progress of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It has joined the queue: with what cancels it, for whoever keeps that.
    Joined(Receipt),
    /// It waits.
    Queued(QueuePosition),
    /// The function has begun; with the Space's guess of the seconds it takes.
    Started(Option<f64>),
    /// The function reports its progress.
    Step(StepProgress),
    /// The function has outputs, and goes on: images that are still being made.
    Generating(Vec<Value>),
    /// It is done: the function's outputs. Nothing follows.
    Finished(Vec<Value>),
}

/// Something that a job holds for as long as it is at the Space, its cancelling included: a slot, say.
pub type Hold = Rc<dyn Any>;

/// A job that has joined a Space's queue.
pub struct Job {
    client: Client,
    hold: Hold,
    /// Ticket that cancels it; taken once it has ended.
    ticket: Option<Ticket>,
    /// The stream; taken once it is of no more use.
    events: Option<Body>,
    decoder: Decoder,
    /// Memory of the event that comes, and of what has been yielded.
    memory: Reservation,
    yielded: Yielded,
    /// Size of that, in bytes.
    yielded_size: usize,
    /// Values that its page shows.
    shown: Shown,
    /// Set where nobody wants what the function yields before its end.
    skips_yields: bool,
    /// Number of messages so far.
    messages: u32,
    /// Deadline, in the platform's monotonic time.
    deadline: Duration,
    /// Set once [`Progress::Joined`] was given.
    is_told: bool,
}

impl Job {
    /// Joins the queue of `endpoint` with the function's arguments, `data`, and opens the event stream. `hold` is kept
    /// until the job has left the Space.
    ///
    /// # Errors
    /// Every [`Failure`] of a call; [`Failure::QueueFull`]. When it fails after the join, or its future is dropped, the
    /// job is cancelled.
    pub async fn submit(client: &Client, endpoint: &Endpoint, data: &[Value], hold: Hold) -> Result<Self, Failure> {
        let deadline = client.host().now() + client.limits().job;
        let OpenJob { ticket, events } = enter(client, endpoint, data, Rc::clone(&hold)).await?;
        Ok(Self {
            client: client.clone(),
            hold,
            ticket: Some(ticket),
            events: Some(events),
            decoder: Decoder::new(MAX_EVENT),
            memory: client.host().memory().none(),
            yielded: Yielded::default(),
            yielded_size: 0,
            shown: Shown::default(),
            skips_yields: false,
            messages: 0,
            deadline,
            is_told: false,
        })
    }

    /// Keeps what the function yields before its end to itself.
    pub fn skip_yields(&mut self) {
        self.skips_yields = true;
    }

    /// Waits for the next progress that the Space reports. After [`Progress::Finished`] or an error, the job is over.
    ///
    /// # Errors
    /// How the job failed.
    pub async fn next(&mut self) -> Result<Progress, Failure> {
        if let Some(ticket) = self.ticket.as_ref().filter(|_| !self.is_told) {
            self.is_told = true;
            return Ok(Progress::Joined(ticket.receipt()));
        }
        loop {
            while let Some(data) = self.next_event()? {
                let message = Message::parse(&data)
                    .map_err(|_| Failure::Unreadable("an event of its queue is no message".into()))?;
                let progress = self.take(message)?;
                self.messages = self.messages.wrapping_add(1);
                if self.messages.is_multiple_of(BREATH) {
                    // A Space that talks without end must leave others their turn.
                    self.client.host().sleep(Duration::from_millis(1)).await;
                }
                if let Some(progress) = progress {
                    return Ok(progress);
                }
            }
            let piece = self.next_piece().await?;
            self.decoder.feed(&piece);
            self.reserve().await?;
        }
    }

    /// Reserves the memory of the event that comes. What an event of before needed is given back.
    async fn reserve(&mut self) -> Result<(), Failure> {
        let (yielded, pending) = (self.yielded_size, self.decoder.pending());
        let memory = pending.saturating_mul(COPIES).saturating_add(yielded.saturating_mul(3));
        if memory <= UNCOUNTED {
            self.memory.shrink_to(0);
        } else if memory > self.memory.bytes() {
            grow(self.client.host(), &mut self.memory, memory.saturating_add(STEP)).await?;
        } else if pending == 0 {
            self.memory.shrink_to(memory);
        }
        Ok(())
    }

    fn next_event(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.decoder.next_event().map_err(|error| Failure::Unreadable(error.to_string()))
    }

    fn take(&mut self, message: Message) -> Result<Option<Progress>, Failure> {
        match message {
            Message::Estimation(position) => Ok(Some(Progress::Queued(position))),
            Message::ProcessStarts { eta } => Ok(Some(Progress::Started(eta))),
            Message::Progress(step) => Ok(Some(Progress::Step(step))),
            // A preview that doesn't fit what came before is none: the end decides. Even where nobody wants previews,
            // the last of them may be the image: the end may be an update that leaves it.
            Message::ProcessGenerating(data) => {
                let is_read = self.yielded.take(data).map(|outputs| self.shown.yielded(outputs)).is_some();
                self.yielded_size = self.yielded.size();
                Ok((is_read && !self.skips_yields).then(|| Progress::Generating(self.shown.values().to_vec())))
            }
            Message::ProcessCompleted(completion) => {
                self.end();
                match completion {
                    Completion::Outputs(outputs) => Ok(Some(Progress::Finished(self.shown.returned(outputs)))),
                    Completion::Failed { message, title, is_meant } => {
                        Err(Failure::of_job(message, title.as_deref(), is_meant))
                    }
                    Completion::Cancelled => Err(Failure::Cancelled),
                }
            }
            Message::UnexpectedError { message } => {
                self.end();
                Err(Failure::Queue { message: plain(&message) })
            }
            Message::CloseStream => Err(Failure::Cut),
            Message::Other => Ok(None),
        }
    }

    /// The next bytes of the stream, within the limits.
    async fn next_piece(&mut self) -> Result<Bytes, Failure> {
        let limits = self.client.limits();
        let left = self.deadline.saturating_sub(self.client.host().now());
        if left.is_zero() {
            return Err(Failure::Overdue { after: limits.job });
        }
        let Some(events) = &mut self.events else { return Err(Failure::Cut) };
        match timeout(self.client.host(), left.min(limits.idle), events.next()).await {
            Ok(Some(Ok(piece))) => Ok(piece),
            Err(_) if left <= limits.idle => Err(Failure::Overdue { after: limits.job }),
            Ok(Some(Err(TransportError::TimedOut(_)))) | Err(_) => Err(Failure::Stalled { after: limits.idle }),
            Ok(Some(Err(_)) | None) => Err(Failure::Cut),
        }
    }

    /// Nothing is left to cancel; the rest of the stream, usually one `close_stream`, is read aside.
    fn end(&mut self) {
        self.ticket = None;
        if let Some(mut events) = self.events.take() {
            let host = self.client.host().clone();
            self.client.host().spawn(Box::pin(async move {
                let rest = async { while let Some(Ok(_)) = events.next().await {} };
                // Not ended in time: dropping it closes the connection, which is all right too.
                let _ = timeout(&host, DRAIN, rest).await;
            }));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let (client, events, hold) = (self.client.clone(), self.events.take(), Rc::clone(&self.hold));
            self.client.host().spawn(Box::pin(async move {
                ticket.cancel(&client).await;
                drop(events);
                drop(hold);
            }));
        }
    }
}

/// Ticket that cancels a job.
struct Ticket {
    endpoint: Endpoint,
    session_hash: String,
    event_id: String,
}

impl Ticket {
    async fn cancel(self, client: &Client) {
        self.receipt().cancel(client).await;
    }

    fn receipt(&self) -> Receipt {
        Receipt {
            cancel_url: self.endpoint.base.url("/cancel"),
            event_id: self.event_id.clone(),
            session_hash: self.session_hash.clone(),
            fn_index: self.endpoint.fn_index,
        }
    }
}

/// Ticket that cancels a job, in a form that can be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// URL of the cancel call.
    pub cancel_url: Url,
    event_id: String,
    session_hash: String,
    fn_index: u64,
}

impl Receipt {
    /// Cancels the job. Gradio says `success` of unknown jobs too, so the answer says nothing.
    pub async fn cancel(&self, client: &Client) {
        let call = CancelCall { event_id: &self.event_id, session_hash: &self.session_hash, fn_index: self.fn_index };
        if let Ok(json) = serde_json::to_vec(&call) {
            let answer = async {
                let answer = client.post(self.cancel_url.clone(), json).await?;
                client.body("cancel", answer).await
            };
            let _ = timeout(client.host(), CANCEL, answer).await;
        }
    }
}

#[derive(Serialize)]
struct JoinCall<'a> {
    data: &'a [Value],
    fn_index: u64,
    session_hash: &'a str,
}

#[derive(Deserialize)]
struct Joined {
    event_id: String,
}

#[derive(Serialize)]
struct CancelCall<'a> {
    event_id: &'a str,
    session_hash: &'a str,
    fn_index: u64,
}

/// A job in the queue, and its stream.
struct OpenJob {
    ticket: Ticket,
    events: Body,
}

/// Joins the queue and opens the stream, in a task that goes on when nobody waits for it any more: only so is there
/// always an event to cancel, and a stream to close after that.
async fn enter(client: &Client, endpoint: &Endpoint, data: &[Value], hold: Hold) -> Result<OpenJob, Failure> {
    let session_hash = random_hex::<8>(client.host());
    let json = serde_json::to_vec(&JoinCall { data, fn_index: endpoint.fn_index, session_hash: &session_hash })
        .map_err(|_| Failure::Unreadable("its arguments are no JSON".into()))?;
    let (send, entered) = oneshot::channel();
    let (client_there, endpoint) = (client.clone(), endpoint.clone());
    client.host().spawn(Box::pin(async move {
        let client = client_there;
        let (patient, idle) = (client.patient(PATIENCE), client.limits().idle);
        let mut joining = Box::pin(join(&patient, endpoint, session_hash, json));
        let Ok(joined) = timeout(client.host(), idle, joining.as_mut()).await else {
            let _ = send.send(Err(Failure::Stalled { after: idle }));
            // The Space may have taken the job all the same, and say so later.
            if let Ok(ticket) = joining.await {
                ticket.cancel(&client).await;
            }
            drop(hold);
            return;
        };
        let entered = match joined {
            Ok(ticket) => match open(&client, &ticket).await {
                Ok(events) => Ok(OpenJob { ticket, events }),
                Err(failure) => {
                    ticket.cancel(&client).await;
                    Err(failure)
                }
            },
            Err(failure) => Err(failure),
        };
        if let Err(Ok(OpenJob { ticket, events })) = send.send(entered) {
            ticket.cancel(&client).await;
            drop(events);
        }
        drop(hold);
    }));
    entered.await.unwrap_or(Err(Failure::Cut))
}

async fn join(client: &Client, endpoint: Endpoint, session_hash: String, json: Vec<u8>) -> Result<Ticket, Failure> {
    let answer = client.post(endpoint.base.url("/queue/join"), json).await?;
    let body = client.body("queue/join", answer).await?;
    let Joined { event_id } =
        JsonBounds::EVENT.parse(&body).map_err(|_| Failure::Unreadable("queue/join answered no event_id".into()))?;
    Ok(Ticket { endpoint, session_hash, event_id })
}

async fn open(client: &Client, ticket: &Ticket) -> Result<Body, Failure> {
    let query = format!("/queue/data?session_hash={}", ticket.session_hash);
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    let answer = client.get(ticket.endpoint.base.url(&query), headers).await?;
    if answer.status != StatusCode::OK {
        return Err(client.refusal("queue/data", answer).await);
    }
    Ok(answer.body)
}
