//! The contract, asked of the sled store.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::contract::*;

macro_rules! one_test_each {
    ($($theme:ident::$name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let stores = AtomicU64::new(0);
                let next = || dir.path().join(stores.fetch_add(1, Ordering::Relaxed).to_string());
                $theme::$name(&|| super::open(&next())).await;
                // The database is opened anew behind every group of commits.
                $theme::$name(&|| super::open_renewing(&next(), 1)).await;
            }
        )*
    };
}

for_each_guarantee! { one_test_each }
