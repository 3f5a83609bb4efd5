//! Where generated code stands, and where it finds what it names.

/// Where generated code stands, and where it finds what it names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paths {
    /// The path of the contract's crate, with its packages, codec and requests.
    pub(crate) root: &'static str,
    /// The one package that code is generated for, and the module that its messages stand in; without it, code is
    /// generated for all of the contract.
    pub(crate) own: Option<(&'static str, &'static str)>,
}

impl Paths {
    /// Whether code is generated for a package.
    pub(crate) fn generate(&self, package: &str) -> bool {
        match self.own {
            Some((own, _)) => package == own,
            None => package.starts_with("orrery."),
        }
    }

    /// The module of a package, as prost takes it, which escapes keywords itself; `None` if it is none of Orrery's.
    pub(crate) fn module(&self, package: &str) -> Option<String> {
        match self.own {
            Some((own, module)) if package == own => Some(module.to_owned()),
            _ => {
                let module = package.strip_prefix("orrery.")?.replace('.', "::");
                Some(format!("{}::{module}", self.root))
            }
        }
    }

    /// The Rust type of a message, `.orrery.catalog.v1.Product`.
    pub(crate) fn of(&self, message: &str) -> String {
        let (package, name) = message.trim_start_matches('.').rsplit_once('.').unwrap_or_default();
        format!("{}::{name}", self.module(package).unwrap_or_default().replace("::type::", "::r#type::"))
    }
}
