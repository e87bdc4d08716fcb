//! Room on the disks. A build begins only where there is enough of it, because a full disk hurts more than this build: the database,
//! Docker itself and every app that writes. What can be spared is removed first.

use std::{path::PathBuf, sync::Arc};

use windlass_builder::{Space, human_bytes};
use windlass_domain::{Failure, FailureCode};

use crate::{context::Shared, sweep};

/// Of a large disk a tenth is more than any build needs.
const SHARE_AT_MOST_BYTES: u64 = 10 << 30;
/// The same of inodes: a build that unpacks a hundred thousand files is a large one.
const SHARE_AT_MOST_INODES: u64 = 100_000;
/// When the budget is not enough, the build cache is cut down to this part of it: a slow build is better than none.
const LAST_RESORT: u64 = 10;

/// What must be free for a build to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLimits {
    /// Where Windlass keeps what is its own.
    pub data_dir: PathBuf,
    /// Bytes.
    pub min_free_bytes: u64,
    /// Hundredths of the disk, of bytes as of inodes; at most 10 GiB and 100,000 inodes.
    pub min_free_percent: u32,
}

impl DiskLimits {
    /// What a disk lacks, as `/var/lib/docker has 0.5 GiB free, and 2.0 GiB are needed`; none if a build may begin.
    pub fn lack(&self, space: &Space) -> Option<String> {
        let path = space.path.display();
        let bytes = self
            .min_free_bytes
            .max(self.share(space.total_bytes).min(SHARE_AT_MOST_BYTES));
        if space.free_bytes < bytes {
            let (free, needed) = (human_bytes(space.free_bytes), human_bytes(bytes));
            return Some(format!("{path} has {free} free, and {needed} are needed"));
        }
        let inodes = self.share(space.total_inodes).min(SHARE_AT_MOST_INODES);
        (space.free_inodes < inodes).then(|| {
            format!(
                "{path} has room for {} more files, and {inodes} are needed",
                space.free_inodes
            )
        })
    }

    fn share(&self, total: u64) -> u64 {
        total / 100 * u64::from(self.min_free_percent)
    }
}

/// Says once, at the start, what cannot be watched over here.
pub(crate) async fn announce(shared: &Shared) {
    match shared.builder.limits().await {
        Ok(bytes) => tracing::info!(memory = human_bytes(bytes), "builds run under limits"),
        Err(why) => tracing::warn!(%why, "builds run without limits of memory and CPU"),
    }
    if shared.builder.disk().await.is_none() {
        tracing::warn!("the disk of the Docker Engine cannot be seen from here; builds begin however full it is");
    }
}

/// Sees to it that there is room for a build, or says why there is none.
pub(crate) async fn make_room(shared: &Shared) -> Result<(), Failure> {
    let freed = match docker_lack(shared).await {
        Some(lack) => Some(free_docker(shared, &lack).await),
        None => None,
    };
    let limits = &shared.config.disk;
    let own = Space::measure(&limits.data_dir).ok();
    let lack = docker_lack(shared).await.or_else(|| limits.lack(own.as_ref()?));
    lack.map_or(Ok(()), |lack| Err(refused(&lack, freed)))
}

/// Removes what can be spared on the disk of the Docker Engine, until there is room; how many bytes of build cache that were. What lacks
/// on another disk is not to be had from it.
async fn free_docker(shared: &Shared, lack: &str) -> u64 {
    tracing::warn!(lack, "too little room for a build; removing what can be spared");
    if let Err(error) = sweep::images(shared).await {
        tracing::warn!(error = format!("{error:#}"), "old images could not be removed");
    }
    let budget = shared.builder.cache_budget().await;
    let mut freed = 0;
    for keep in [budget, budget / LAST_RESORT] {
        if docker_lack(shared).await.is_none() {
            break;
        }
        match shared.builder.shrink_cache(keep).await {
            Ok(bytes) => freed += bytes,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the build cache could not be cut"),
        }
    }
    freed
}

/// `freed`: bytes of build cache that were removed before, if it was tried.
fn refused(lack: &str, freed: Option<u64>) -> Failure {
    let failure = Failure::new(
        FailureCode::MachineLimit,
        format!("there is too little room on the server for a build: {lack}"),
        "free space on the server (`docker system df` shows what Docker uses) and deploy again; how much must be free is set with \
         `disk.min_free_bytes` and `disk.min_free_percent`",
    );
    failure.with_evidence(freed.map(|freed| {
        format!(
            "old images and {} of build cache were removed before this was said",
            human_bytes(freed)
        )
    }))
}

/// What the disk of the Docker Engine lacks. One that cannot be measured is not waited for.
async fn docker_lack(shared: &Shared) -> Option<String> {
    shared.config.disk.lack(&shared.builder.disk().await?)
}

/// Brings the build cache back to its budget, beside whatever else goes on.
pub(crate) fn trim_cache(shared: &Arc<Shared>) {
    let own = shared.clone();
    shared.tasks.spawn(async move {
        let trimmed = tokio::select! {
            () = own.shutdown.cancelled() => return,
            trimmed = own.builder.trim_cache() => trimmed,
        };
        match trimmed {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(freed = human_bytes(bytes), "the build cache was over its budget"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the build cache could not be trimmed"),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn limits() -> DiskLimits {
        DiskLimits {
            data_dir: PathBuf::from("/var/lib/windlass"),
            min_free_bytes: GIB,
            min_free_percent: 10,
        }
    }

    fn disk(total_bytes: u64, free_bytes: u64) -> Space {
        Space {
            path: PathBuf::from("/var/lib/docker"),
            free_bytes,
            total_bytes,
            free_inodes: 0,
            total_inodes: 0,
        }
    }

    #[test]
    fn what_must_be_free_fits_small_and_huge_disks() {
        let lacks = |total, free| limits().lack(&disk(total, free)).is_some();
        assert!(lacks(8 * GIB, GIB - 1) && !lacks(8 * GIB, GIB));
        assert!(lacks(50 * GIB, 5 * GIB - GIB / 10) && !lacks(50 * GIB, 5 * GIB));
        assert!(lacks(4000 * GIB, 10 * GIB - 1) && !lacks(4000 * GIB, 10 * GIB));
        let lack = limits().lack(&disk(100 * GIB, GIB / 2)).unwrap();
        assert!(
            lack.starts_with("/var/lib/docker has 512 MiB free, and 10.0 GiB are needed"),
            "{lack}"
        );
    }

    #[test]
    fn what_was_removed_in_vain_is_said_and_only_that() {
        let evidence = |freed| refused("/data has 1 MiB free, and 1.0 GiB are needed", freed).evidence;
        assert_eq!(
            evidence(Some(3 << 20)),
            ["old images and 3 MiB of build cache were removed before this was said"]
        );
        assert!(evidence(None).is_empty(), "the disk of the Docker Engine had room");
    }

    #[test]
    fn inodes_count_where_there_is_a_number_of_them() {
        let with = |total_inodes, free_inodes| Space {
            total_inodes,
            free_inodes,
            ..disk(100 * GIB, 50 * GIB)
        };
        assert_eq!(limits().lack(&with(0, 0)), None);
        assert_eq!(limits().lack(&with(1_000_000, 100_000)), None);
        let lack = limits().lack(&with(1_000_000, 99_999)).unwrap();
        assert!(
            lack.contains("room for 99999 more files, and 100000 are needed"),
            "{lack}"
        );
        assert_eq!(limits().lack(&with(100_000_000, 100_000)), None);
    }
}
