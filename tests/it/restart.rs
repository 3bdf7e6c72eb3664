//! How a gateway ends and how another one takes its place, without a request lost.

mod farewell;
