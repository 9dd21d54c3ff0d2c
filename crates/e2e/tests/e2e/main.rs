//! End-to-end tests: the real program, over HTTP, on both databases.

mod crash;
mod quickstart;
mod replicas;
mod runs;
mod shutdown;
mod streams;
