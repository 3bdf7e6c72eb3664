//! What goes between Gatewarden's files and those of others: rule files made from a Keycloak export or an OpenAPI
//! document, an OpenAPI document held against the rules, the rules as Cedar policies, the files' shape as a JSON schema
//! for editors, and their layout. All of it is translation of text to text. What can't be translated exactly is denied,
//! and told in a report with a stable code and its place. Reading and writing files is `cli`'s.

pub mod cedar;
pub mod keycloak;
pub mod layout;
pub mod openapi;
pub mod report;
pub mod schema;
mod toml_text;
pub mod trial;

pub use report::{Finding, Report, Weight};
