//! Tools that run inside the server: bundles that a configuration enables by name, and the functions that models see.

mod arguments;
mod calculator;
mod current_time;
mod function;
mod reasoning;
mod suggest_replies;
mod web_fetch;
mod web_search;

use egress::{BuildError, Egress, Policy};
use vault::Ids;

pub use function::{Function, HostedInfo};

use crate::options::Options;
use crate::{Answer, Call};
use web_fetch::WebFetch;
use web_search::WebSearch;

/// The hosted tools of a server. Cheap to clone.
#[derive(Clone)]
pub struct HostedTools {
    web_fetch: WebFetch,
    web_search: Option<WebSearch>,
    /// Tells the time.
    ids: Ids,
}

const WEB_SEARCH: HostedInfo = HostedInfo {
    name: "web_search",
    title: "Web search",
    description: "Searches the web and reads titles, addresses and snippets of the results.",
};
const WEB_FETCH: HostedInfo = HostedInfo {
    name: "web_fetch",
    title: "Web pages",
    description: "Reads the text of a web page, or of a document in plain text, JSON or XML.",
};
const CALCULATOR: HostedInfo = HostedInfo {
    name: "calculator",
    title: "Calculator",
    description: "Works out arithmetic exactly, and describes lists of numbers.",
};
const REASONING: HostedInfo = HostedInfo {
    name: "reasoning",
    title: "Reasoning",
    description: "Gives the model room to think and to plan between its steps.",
};
const CURRENT_TIME: HostedInfo = HostedInfo {
    name: "current_time",
    title: "Current time",
    description: "Tells the date and time where the person is, or in another time zone.",
};
const SUGGEST_REPLIES: HostedInfo = HostedInfo {
    name: "suggest_replies",
    title: "Suggested replies",
    description: "Offers the person short replies to choose from.",
};

impl HostedTools {
    /// Sets up the tools that are possible with these options.
    ///
    /// `policy` is for addresses that models give. A search that is only half set up is left out, with a warning.
    pub fn new(egress: &Egress, policy: Policy, options: &Options, ids: Ids) -> Result<Self, BuildError> {
        let web_search = match WebSearch::new(egress, options)? {
            Some(Ok(search)) => Some(search),
            Some(Err(why)) => {
                tracing::warn!(reason = %why, "`web_search` is not offered: its provider is not set up completely.");
                None
            }
            None => None,
        };
        Ok(Self { web_fetch: WebFetch::new(egress, policy, options)?, web_search, ids })
    }

    /// Lists what this server offers.
    pub fn catalogue(&self) -> Vec<HostedInfo> {
        let search = self.web_search.is_some().then_some(WEB_SEARCH);
        let others = [WEB_FETCH, CALCULATOR, REASONING, CURRENT_TIME, SUGGEST_REPLIES];
        search.into_iter().chain(others).collect()
    }

    /// Returns the functions behind a name of the catalogue; none for one that this server does not offer.
    pub fn functions(&self, bundle: &str) -> Option<Vec<Function>> {
        match bundle {
            "web_search" => self.web_search.as_ref().map(|_| WebSearch::functions()),
            "web_fetch" => Some(self.web_fetch.functions()),
            "calculator" => Some(calculator::functions()),
            "reasoning" => Some(reasoning::functions()),
            "current_time" => Some(current_time::functions()),
            "suggest_replies" => Some(suggest_replies::functions()),
            _ => None,
        }
    }

    /// Carries a call of a function out.
    pub async fn call(&self, call: &Call) -> Answer {
        match (call.tool.as_str(), &self.web_search) {
            (web_search::NAME, Some(search)) => search.call(call).await,
            (web_fetch::NAME, _) => self.web_fetch.call(call).await,
            (calculator::CALCULATE, _) => calculator::calculate(call),
            (calculator::STATISTICS, _) => calculator::statistics(call),
            (reasoning::THINK, _) => reasoning::think(call),
            (reasoning::PLAN, _) => reasoning::plan(call),
            (current_time::NAME, _) => current_time::current_time(call, self.ids.now()),
            (suggest_replies::NAME, _) => suggest_replies::suggest_replies(call),
            _ => Answer::error("This tool is not available on this server."),
        }
    }
}

#[cfg(test)]
mod tests;
