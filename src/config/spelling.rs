//! Names that are nearly those of this program. A misspelt opt-out must not mean "on", so such a
//! name is an error.

/// Returns true for a name that is probably a misspelt setting of this program. Case and
/// punctuation do not matter. The names of other programs' settings, such as
/// `OTEL_METRICS_ENABLED` and those of the security responder, do not match.
pub(crate) fn resembles_ours(name: &str) -> bool {
    let plain = plain(name).replace("securityresponder", "");
    let product = ["rke2", "k3s"].map(|product| plain.strip_prefix(product));
    let rest = product.into_iter().flatten().next().unwrap_or(&plain);
    let switches = ["enable", "disable"].iter().any(|verb| rest.contains(verb));
    plain.contains("responder") || rest.starts_with("metric") && switches || rest == "donottrack"
}

/// Returns true for a variable that is probably meant for this program. Keys of the ConfigMap
/// become variables if somebody puts them into the override.
pub(super) fn resembles_variable(name: &str) -> bool {
    let is_file = ["config.yaml", "config.yml"].iter().any(|file| name.eq_ignore_ascii_case(file));
    resembles_ours(name) || plain(name) == "enabled" || is_file
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_ours_resembles_ours() {
        for name in [
            "metrics-responder-enabled",
            "METRICS-RESPONDER-ENABLED",
            "METRICS_RESPONDER",
            "RKE2_METRICS_RESPONDER_ENABLED",
            "METRIC_RESPONDER_ENABLED",
            "METRICS_RESPONDERENABLED",
            "METRICS_RESPONER_ENABLED",
            "METRICS_RESPONDER_PORTENABLED",
            "do_not_track",
            "DONOTTRACK",
            "RKE2_DO_NOT_TRACK",
            "metricsResponderEnabled",
            "upgrade-responder-enabled",
            "k3s-metric-reporter-disabled",
            "--metrics-enable",
            "security-responder-metrics-responder",
        ] {
            assert!(resembles_ours(name) && resembles_variable(name), "{name}");
        }
        for name in ["enabled", "ENABLED", "config.yaml", "Config.yaml", "config.yml"] {
            assert!(resembles_variable(name) && !resembles_ours(name), "{name}");
        }
    }

    #[test]
    fn names_of_other_programs_do_not_resemble_ours() {
        for name in [
            "OTEL_METRICS_ENABLED",
            "METRICS_PORT",
            "RKE2_CONFIG_FILE",
            "RKE2_SECURITY_RESPONDER_ENABLED",
            "security-responder-enabled",
            "rke2-security-responder",
            "disable",
            "kube-apiserver-arg",
            "supervisor-metrics",
            "config",
            "TRACK",
            "",
        ] {
            assert!(!resembles_variable(name), "{name}");
        }
    }
}
