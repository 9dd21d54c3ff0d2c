//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A self-hosted server that runs AI assistants.
#[derive(Debug, Parser)]
#[command(name = "ingram", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve {
        #[command(flatten)]
        place: Place,
        /// The address or the name of the host to listen on, and the port, such as 127.0.0.1:8080.
        #[arg(long, value_name = "HOST:PORT")]
        listen: Option<String>,
    },
    /// Work with tokens.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Check configuration, address, data folder, keys, database, clock and providers, and say what to do about what is wrong.
    /// Nothing is changed, and a server may run meanwhile.
    Doctor {
        #[command(flatten)]
        place: Place,
        /// Also look whether each provider with a key can be reached and takes it. Sends one request to each, which costs nothing.
        #[arg(long)]
        online: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Mint a token and print it, alone, on standard output. It is shown this once.
    Create {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        token: NewToken,
    },
}

/// Where the server's data are.
#[derive(Args, Clone, Debug, Default)]
pub struct Place {
    /// The folder for the master key and the embedded database. It is made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Use this PostgreSQL database instead of the embedded one.
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Read this configuration file instead of ingram.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What the token is for.
#[derive(Args, Clone, Debug)]
pub struct NewToken {
    /// The project, by its name or id. Without it: the first project.
    #[arg(long, value_name = "NAME_OR_ID", conflicts_with = "organization")]
    pub project: Option<String>,
    #[command(flatten)]
    pub kind: TokenKind,
    /// What a smith token may do, such as runs:write. May be given more than once.
    #[arg(long = "permission", value_name = "PERMISSION", requires = "smith", conflicts_with_all = ["admin", "organization"])]
    pub permissions: Vec<String>,
    /// How long the token is valid: a number with s, m, h or d, such as 1h. A smith token without it is valid for an hour, any
    /// other without end.
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    pub ttl: Option<u32>,
    /// A name to find the token by in lists.
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct TokenKind {
    /// A token that administers the project.
    #[arg(long)]
    pub admin: bool,
    /// A key that administers the organization's projects.
    #[arg(long)]
    pub organization: bool,
    /// A token of one smith.
    #[arg(long, value_name = "ID", requires = "permissions")]
    pub smith: Option<String>,
}

/// The longest life that a token may have: ten years, in seconds.
const LONGEST: u32 = 315_360_000;

fn ttl(text: &str) -> Result<u32, String> {
    let wrong =
        || format!("write a number with s, m, h or d, such as 90s or 1h, up to {}d", LONGEST / 86_400);
    let split = text.len().checked_sub(1).filter(|split| text.is_char_boundary(*split)).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number = number.parse::<u32>().map_err(|_| wrong())?;
    let seconds = number.checked_mul(factor).filter(|seconds| (1..=LONGEST).contains(seconds));
    seconds.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_life_is_a_number_with_a_unit() {
        assert_eq!(ttl("1h"), Ok(3_600));
        assert_eq!(ttl("3650d"), Ok(LONGEST));
        for text in ["", "h", "1", "1w", "0s", "-1s", "1.5h", "3651d", "99999999999d", "1ä"] {
            assert!(ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_is_of_exactly_one_kind() {
        assert!(parse("ingram token create --admin --ttl 1h").is_ok());
        assert!(
            parse("ingram token create --smith smt_1 --permission runs:write --permission runs:read").is_ok()
        );
        assert!(parse("ingram token create").is_err());
        assert!(parse("ingram token create --admin --organization").is_err());
        assert!(parse("ingram token create --smith smt_1").is_err());
        assert!(parse("ingram token create --admin --permission runs:write").is_err());
    }
}
