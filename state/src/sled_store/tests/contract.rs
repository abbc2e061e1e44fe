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
                let fresh = || {
                    let number = stores.fetch_add(1, Ordering::Relaxed);
                    super::open(&dir.path().join(number.to_string()))
                };
                $theme::$name(&fresh).await;
            }
        )*
    };
}

for_each_guarantee! { one_test_each }
