//! What the operator's tool says about itself.

use crate::{Manner, version};

/// The part of `argv[0]` that a person recognises.
pub(crate) fn short_name(program: &str) -> &str {
    // `hawser idtool` is one name.
    let (path, rest) = match program.split_once(' ') {
        Some((path, _)) => (path, &program[path.len()..]),
        None => (program, ""),
    };
    match path.rfind('/') {
        Some(slash) if rest.is_empty() => &path[slash + 1..],
        Some(slash) => &program[slash + 1..],
        None => program,
    }
}

/// The usage.
pub(crate) fn of(manner: Manner, program: &str) -> String {
    match manner {
        Manner::Original => original(program),
        Manner::Hawser => hawser(short_name(program)),
    }
}

/// The number of the processor's family, as the original prints it.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86") {
    1
} else if cfg!(target_arch = "x86_64") {
    2
} else if cfg!(target_arch = "arm") {
    3
} else if cfg!(target_arch = "aarch64") {
    4
} else {
    0
};

/// Scripts look at the first line; everything else is for people.
fn original(program: &str) -> String {
    format!(
        "ZeroTier One version {version} build 0 (platform 1 arch {ARCHITECTURE})\n\
         Hawser's tool for the local service. Not affiliated with ZeroTier, Inc.\n\
         Usage: {program} [-switches] <command/path> [<args>]\n\
         \n\
         Available switches:\n\
         \x20 -h                      - Display this help\n\
         \x20 -v                      - Show version\n\
         \x20 -j                      - Display full raw JSON output\n\
         \x20 -D<path>                - Home directory of the service, to find its port and token\n\
         \x20 -p<port>                - HTTP port (default: from the home directory)\n\
         \x20 -T<token>               - Authentication token (default: from the home directory)\n\
         \n\
         Available commands:\n\
         \x20 info                    - Display status info\n\
         \x20 listpeers               - List all peers, for programs\n\
         \x20 peers                   - List all peers, for people\n\
         \x20 listnetworks            - List all networks\n\
         \x20 join <network ID>       - Join a network\n\
         \x20 leave <network ID>      - Leave a network\n\
         \x20 set <network ID> <setting>=<value> - Change a network's setting\n\
         \x20 get <network ID> <property>        - Show a network's property\n\
         \x20 listmoons               - List moons\n\
         \x20 orbit <world ID> <seed> - Join a moon through any of its roots\n\
         \x20 deorbit <world ID>      - Leave a moon\n\
         \x20 dump                    - Write a file about this node for those who help you\n\
         \x20 bond ...                - Show and control bonds (list, <address> show, <address> rotate, setmtu, test, events)\n\
         \n\
         Settings to use with set: allowManaged, allowGlobal, allowDefault, allowDNS (1 or 0).\n\
         Special properties to use with get: ip, ip4, ip6, ip6plane, ip6prefix.\n",
        version = version(),
    )
}

fn hawser(program: &str) -> String {
    format!(
        "Usage: {program} [switches] <command> [arguments]\n\
         \n\
         Talks to the hawserd (or zerotier-one) of this machine. The same program under the name zerotier-cli or\n\
         zerotier-idtool behaves as those do.\n\
         \n\
         This node\n\
         \x20 info, status                     address, version, online or not\n\
         \x20 peers, listpeers                 other nodes, for people and for programs\n\
         \x20 dump                             write zerotier_dump.txt: everything about this node\n\
         \x20 /<path>                          read a path of the local API\n\
         Networks\n\
         \x20 listnetworks                     networks, their status, device and addresses\n\
         \x20 join <network>                   join a network (16 hexadecimal digits)\n\
         \x20 leave <network>                  leave it\n\
         \x20 get <network> <property>         one property, such as status, mtu, ip4, ip6\n\
         \x20 set <network> <setting>=<value>  allowManaged, allowGlobal, allowDefault, allowDNS; value 1 or 0\n\
         Bonds: several physical paths to one peer\n\
         \x20 bond list, listbonds             all bonds, and what is wrong with their settings\n\
         \x20 bond <address> show              one bond and its paths (--classic: as zerotier-cli shows it;\n\
         \x20                                  --watch: again every second)\n\
         \x20 bond <address> rotate [<interface>]  use the next path (active-backup); --sticky: until it fails\n\
         \x20 bond <address> enable [<policy>] bond with this peer\n\
         \x20 bond <address> disable           do not bond with it\n\
         \x20 bond test [<address>]            which path would carry the traffic if the present one failed\n\
         \x20 bond <address> set <parameter> <value>  change its policy, such as failoverInterval 500\n\
         \x20 bond <address> link add|remove|nominate|enable|disable|reset <interface> [<mode>]\n\
         \x20                                  enable, disable, set and link: until the service restarts (--save: for good)\n\
         \x20 bond setmtu <mtu> <interface> <ip>  packet size of a link\n\
         \x20 bond events                      what happened to bonds; -f goes on with what comes\n\
         Private roots\n\
         \x20 listmoons                        moons, as JSON\n\
         \x20 orbit <moon> <seed>              use a moon; the seed is the address of one of its roots\n\
         \x20 deorbit <moon>                   stop using it\n\
         Without a service\n\
         \x20 idtool ...                       identities, moons and planets; `{program} idtool` lists what it does\n\
         \x20 lab ...                          a whole private network on this machine, to see it work\n\
         \n\
         Switches\n\
         \x20 -j, --json                       print JSON\n\
         \x20 -D<path>                         home directory of the service (default: $ZEROTIER_HOME, /var/lib/zerotier-one)\n\
         \x20 -p<port>, -T<token>              port and token (default: from the home directory)\n\
         \x20 -H<ip>                           address of the service (default: 127.0.0.1)\n\
         \x20 -h, --help / -v, --version\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_have_no_directory() {
        assert_eq!(short_name("/usr/bin/hawser"), "hawser");
        assert_eq!(short_name("/usr/bin/hawser idtool"), "hawser idtool");
        assert_eq!(short_name("hawser"), "hawser");
    }

    #[test]
    fn first_line_names_version_platform_and_architecture() {
        let usage = of(Manner::Original, "zerotier-cli");
        assert!(usage.starts_with("ZeroTier One version 1.14.1 build 0 (platform 1 arch "));
    }
}
