//! A platform with a request's flavors laid over it.

use pipeline_spec::{
    BuildOptions, Config, Contents, FlavorName, KeyFilePath, Platform, PlatformName,
};
use runner_api::PublicKeys;

/// The platform `name` with `flavors` applied in the order written, the options that the flavors add,
/// and the public keys of its package sources. `Err`: what is missing, for people.
pub fn effective_platform(
    config: &Config,
    name: &PlatformName,
    flavors: &[FlavorName],
) -> Result<(Platform, BuildOptions, PublicKeys), String> {
    let mut platform = config
        .platforms
        .get(name)
        .cloned()
        .ok_or_else(|| format!("the platform {name} is not in platforms/"))?;
    let mut options = BuildOptions::default();
    for flavor_name in flavors {
        let flavor = config
            .flavors
            .get(flavor_name)
            .ok_or_else(|| format!("the flavor {flavor_name} is not in flavors/"))?;
        if flavor
            .platforms
            .as_ref()
            .is_some_and(|only| !only.contains(name))
        {
            continue;
        }
        platform.buildroot.extend(flavor.buildroot.iter().cloned());
        match &mut platform.contents {
            Contents::Rpm { repos, macros } => {
                repos.extend(flavor.repos.iter().cloned());
                macros.extend(flavor.macros.clone());
            }
            Contents::Deb { archives } => archives.extend(flavor.archives.iter().cloned()),
        }
        options = merged(&options, &flavor.options);
    }
    let keys = public_keys(config, platform.key_files())?;
    Ok((platform, options, keys))
}

/// `over` wins where both speak.
pub(crate) fn merged(under: &BuildOptions, over: &BuildOptions) -> BuildOptions {
    let mut merged = under.clone();
    merged
        .with
        .retain(|feature| !over.without.contains(feature));
    merged
        .without
        .retain(|feature| !over.with.contains(feature));
    merged.with.extend(over.with.iter().cloned());
    merged.without.extend(over.without.iter().cloned());
    merged.define.extend(over.define.clone());
    merged.profiles.extend(over.profiles.iter().cloned());
    merged
}

fn public_keys<'a>(
    config: &Config,
    paths: impl Iterator<Item = &'a KeyFilePath>,
) -> Result<PublicKeys, String> {
    let mut keys = PublicKeys::new();
    for path in paths {
        let bytes = config.key_files.get(path).ok_or_else(|| {
            format!(
                "the key file {path} is missing: add the public key of the package source there"
            )
        })?;
        let text = std::str::from_utf8(bytes).map_err(|_| {
            format!("the key file {path} is binary: write it as ASCII armor (gpg --enarmor)")
        })?;
        keys.insert(path.clone(), text.to_owned());
    }
    Ok(keys)
}
