//! A WebSocket on both sides, and packets between them: the client's by way of the gate, the application's as they come.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::gate::{End, Gate, Verdict};
use super::polling::is_for_anyone;
use super::session::Session;
use super::sockets::Place;
use super::standing::Standing;
use super::watch::{Ended, supervise};
use crate::plumbing::Limits;
use crate::proxy::connection::Client;
use crate::proxy::upgrade::{Left, Wish};
use crate::socket::engine::{self, Open, Packet};
use crate::upstream::Pipe;

/// Bytes that are read at once; a larger message has a buffer of its own while it arrives.
const READ_BYTES: usize = 1024;
/// Longest message of an application's.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Answers of the gateway's own that wait for their turn.
const REPLIES_MAX: usize = 16;
/// How long either side is given to take what is said last.
const LINGER: Duration = Duration::from_secs(1);
/// What the application is granted beyond the times that it names.
const SLACK_MS: u64 = 15_000;

type Near = WebSocketStream<Left>;
type Far = WebSocketStream<Pipe>;

/// Two openings that succeeded.
pub(super) struct Bridge {
    pub(super) client: Arc<Client>,
    pub(super) limits: Limits,
    pub(super) wish: Wish,
    pub(super) far: (Pipe, Bytes),
    pub(super) mode: Mode,
    /// Away as long as the session polls.
    pub(super) gate: Option<Box<Gate>>,
}

/// Which session it is.
pub(super) enum Mode {
    /// It begins here.
    New { standing: Box<Standing>, _place: Place },
    /// It has polled so far, and goes on to when the client says that this connection works.
    Polled(Arc<Session>),
}

impl Mode {
    fn standing(&self) -> &Standing {
        match self {
            Self::New { standing, .. } => standing,
            Self::Polled(session) => &session.standing,
        }
    }
}

/// How it ended.
enum Over {
    /// The client closed, or went.
    Near(Option<CloseFrame>),
    /// The application did.
    Far(Option<CloseFrame>),
    /// The gateway ends it.
    Own(End),
}

impl Over {
    fn own(ended: Ended) -> Self {
        Self::Own(End { reply: None, ended })
    }

    /// Of what a client sent that can't be read.
    fn fault(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::own(Ended::TOO_LARGE),
            Error::Protocol(_) | Error::Utf8(_) | Error::AttackAttempt => Self::own(Ended::PROTOCOL),
            _ => Self::Near(None),
        }
    }
}

impl Bridge {
    /// Carries packets until one side ends, or the gateway ends it.
    pub(super) async fn run(self) {
        let Self { client, limits, wish, far: (pipe, far_read), mode, gate } = self;
        let Some((near, near_read)) = Box::pin(wish.granted()).await else { return };
        let near = Near::from_partially_read(near, own(near_read), Role::Server, near_config(&limits)).await;
        let far = Far::from_partially_read(pipe, own(far_read), Role::Client, far_config()).await;
        let (mut near_out, mut near_in) = near.split();
        let (mut far_out, mut far_in) = far.split();
        let (tell, mut told) = mpsc::channel(REPLIES_MAX);
        let standing = mode.standing();
        if let Mode::Polled(session) = &mode {
            standing.may_be_silent(session.patience);
        }
        standing.heard();
        let over = {
            let mut up = Up { client: &client, mode: &mode, gate, tell, is_probed: false };
            tokio::select! {
                biased;
                ended = supervise(&client, standing) => Over::own(ended),
                over = up.carry(&mut near_in, &mut far_out) => over,
                over = down(standing, &mut far_in, &mut told, &mut near_out) => over,
            }
        };
        let closing = Box::pin(close(over, (near_out, near_in), far_out, told));
        let _ = tokio::time::timeout(LINGER, closing).await;
    }
}

/// Takes what was read out of hyper's buffer, which is eight times as large as ours and would stay for as long as the
/// socket is open.
fn own(read: Bytes) -> Vec<u8> {
    <[u8]>::to_vec(&read)
}

/// From the client to the application.
struct Up<'b> {
    client: &'b Arc<Client>,
    mode: &'b Mode,
    gate: Option<Box<Gate>>,
    tell: mpsc::Sender<Box<str>>,
    is_probed: bool,
}

impl Up<'_> {
    async fn carry(&mut self, from: &mut SplitStream<Near>, to: &mut SplitSink<Far, Message>) -> Over {
        loop {
            let message = match from.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Over::fault(&error),
                None => return Over::Near(None),
            };
            let verdict = match &message {
                Message::Text(text) => self.text(text).await,
                Message::Binary(_) => match &mut self.gate {
                    Some(gate) => gate.bytes(),
                    None => Err(End { reply: None, ended: Ended::PROTOCOL }),
                },
                Message::Close(frame) => return Over::Near(frame.clone()),
                // Answered by the library, hop by hop.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let passing = match verdict {
                Ok(Verdict::Pass) => message,
                Ok(Verdict::Replace(packet)) => Message::text(packet),
                Ok(Verdict::Drop(None)) => continue,
                Ok(Verdict::Drop(Some(reply)) | Verdict::Undeclared(reply)) => {
                    if self.tell.send(reply.into()).await.is_err() {
                        return Over::Near(None);
                    }
                    continue;
                }
                Err(end) => return Over::Own(end),
            };
            if to.send(passing).await.is_err() {
                return Over::Far(None);
            }
        }
    }

    async fn text(&mut self, text: &str) -> Result<Verdict, End> {
        if let Some(gate) = &mut self.gate {
            return gate.text(&self.client.plane, self.mode.standing(), text).await;
        }
        let protocol = End { reply: None, ended: Ended::PROTOCOL };
        match (Packet::read(text), self.mode) {
            (Some(Packet::Ping("probe")), _) if !self.is_probed => {
                self.is_probed = true;
                Ok(Verdict::Pass)
            }
            (Some(Packet::Upgrade), Mode::Polled(session)) => {
                let (gate, replies) = session.move_on().ok_or(protocol)?;
                self.gate = Some(gate);
                self.client.plane.sockets.forget(session);
                for reply in engine::split(&replies).filter(|reply| !reply.is_empty()) {
                    let _ = self.tell.send(reply.into()).await;
                }
                Ok(Verdict::Pass)
            }
            _ => Err(protocol),
        }
    }
}

/// From the application, and from the gateway itself, to the client.
async fn down(
    standing: &Standing,
    from: &mut SplitStream<Far>,
    told: &mut mpsc::Receiver<Box<str>>,
    to: &mut SplitSink<Near, Message>,
) -> Over {
    let mut is_known = false;
    loop {
        let message = tokio::select! {
            biased;
            Some(reply) = told.recv() => Message::text(String::from(reply)),
            message = from.next() => {
                let message = match message {
                    Some(Ok(Message::Close(frame))) => return Over::Far(frame),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(message)) => message,
                    Some(Err(_)) | None => return Over::Far(None),
                };
                standing.heard();
                is_known = is_known || standing.caller().is_some();
                if let Message::Text(text) = &message {
                    learn(standing, text);
                }
                let is_shown = is_known || matches!(&message, Message::Text(text) if is_for_anyone(text));
                if !is_shown {
                    continue;
                }
                message
            }
        };
        if to.send(message).await.is_err() {
            return Over::Near(None);
        }
    }
}

/// How long the application may be silent, which it says with its first packet.
fn learn(standing: &Standing, text: &str) {
    if let (Some(Packet::Open(open)), None) = (Packet::read(text), standing.silent_at())
        && let Some(open) = Open::read(open)
    {
        let silence = open.ping_interval.saturating_add(open.ping_timeout).saturating_add(SLACK_MS);
        standing.may_be_silent(Duration::from_millis(silence));
    }
}

/// Tells both sides, and waits for the client to have taken it.
async fn close(
    over: Over,
    (mut near_out, near_in): (SplitSink<Near, Message>, SplitStream<Near>),
    mut far_out: SplitSink<Far, Message>,
    mut told: mpsc::Receiver<Box<str>>,
) {
    let (near, far, reply) = match over {
        Over::Near(frame) => (None, frame, None),
        Over::Far(Some(frame)) => (Some(frame), None, None),
        Over::Far(None) => (Some(frame_of(Ended::LOST)), None, None),
        Over::Own(End { reply, ended }) => (Some(frame_of(ended)), Some(frame_of(Ended::GOING)), reply),
    };
    let ended = async {
        let _ = far_out.send(Message::Close(far)).await;
    };
    let said = async {
        while let Ok(waiting) = told.try_recv() {
            let _ = near_out.feed(Message::text(String::from(waiting))).await;
        }
        if let Some(reply) = reply {
            let _ = near_out.feed(Message::text(reply)).await;
        }
        let _ = near_out.send(Message::Close(near)).await;
        let Ok(near) = near_out.reunite(near_in) else { return };
        let mut stream = near.into_inner();
        let _ = stream.shutdown().await;
        // What is still on its way would make the close frame be lost with the connection.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    };
    tokio::join!(ended, said);
}

fn frame_of(ended: Ended) -> CloseFrame {
    CloseFrame { code: CloseCode::from(ended.code), reason: ended.reason.into() }
}

/// Small buffers: most sockets are quiet. No extensions, and nothing longer than the limit.
fn near_config(limits: &Limits) -> Option<WebSocketConfig> {
    let most = limits.socket_message_bytes;
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
    let config = config.max_message_size(Some(most)).max_frame_size(Some(most));
    Some(config.max_write_buffer_size(ANSWER_MAX_BYTES * 2))
}

fn far_config() -> Option<WebSocketConfig> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
    let config = config.max_message_size(Some(ANSWER_MAX_BYTES)).max_frame_size(Some(ANSWER_MAX_BYTES));
    Some(config.max_write_buffer_size(ANSWER_MAX_BYTES * 2))
}
