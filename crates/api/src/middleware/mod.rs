//! What every request passes on its way in, and every answer on its way out.

mod admission;
mod cors;
mod frame;
mod rate_limit;
mod version;

pub(crate) use admission::Admission;
pub(crate) use frame::frame;
pub(crate) use rate_limit::{RateLimit, take_from_quota};
pub(crate) use version::require_version;
