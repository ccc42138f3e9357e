//! `allow` and `deny`

use ipnet::IpNet;
use toml::de::DeValue;

use crate::document::Section;
use crate::model::Access;
use crate::problem::Problem;
use crate::value;

pub(super) fn read(section: &Section<'_>) -> Access {
    let allow = section.one_or_list("allow", networks);
    let deny = section.one_or_list("deny", networks);
    for found in &deny {
        let twice =
            allow.iter().any(|allowed| allowed.value.iter().any(|network| found.value.contains(network)));
        if twice {
            let problem = Problem::new("this network is in `allow` and in `deny`");
            section.report(found.span.clone(), problem.instead("leave one of them out"));
        }
    }
    let flat = |lists: Vec<crate::document::Found<Vec<IpNet>>>| {
        lists.into_iter().flat_map(|found| found.value).collect()
    };
    Access { allow: flat(allow), deny: flat(deny) }
}

fn networks(value: &DeValue<'_>) -> Result<Vec<IpNet>, Problem> {
    match value.as_str() {
        Some("all") => Ok(vec![IpNet::V4(ipnet::Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default())]),
        _ => value::network(value).map(|network| vec![network]).map_err(|problem| match value.as_str() {
            Some(_) => Problem::new(problem.message)
                .instead("write a network (\"10.0.0.0/8\"), an address (\"127.0.0.1\") or \"all\""),
            None => problem,
        }),
    }
}
