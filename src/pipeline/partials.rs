//! Choice of the partial images that are shown.

use std::collections::HashMap;

use crate::dispatch::EventKind;
use crate::gradio::job::Progress;
use crate::gradio::result::Picture;

/// Choice of the partial images that are shown.
///
/// If a Space reports steps, partial images are spread evenly over its work; else the first ones are shown.
pub(super) struct Partials {
    /// Number of those of each image, at most.
    most: u32,
    images: HashMap<u32, ShownPartials>,
}

#[derive(Default)]
struct ShownPartials {
    count: u32,
    last: Option<Picture>,
    /// Fraction of the work that is done, from 0 to 1.
    done: Option<f64>,
}

impl Partials {
    pub(super) fn new(most: u32) -> Self {
        Self { most, images: HashMap::new() }
    }

    /// Number of the image's partial images that came before, where the event has one that is to be shown.
    pub(super) fn choose<T>(&mut self, index: u32, kind: &EventKind<T>) -> Option<u32> {
        if self.most == 0 {
            return None;
        }
        let shown = self.images.entry(index).or_default();
        match kind {
            EventKind::Progress(Progress::Step(step)) => {
                shown.done = step.done();
                None
            }
            EventKind::Partial(image) if shown.count < self.most && shown.last.as_ref() != Some(&image.picture) => {
                let due = f64::from(shown.count + 1) / f64::from(self.most + 1);
                if shown.done.is_some_and(|done| done < due) {
                    return None;
                }
                shown.last = Some(image.picture.clone());
                shown.count += 1;
                Some(shown.count - 1)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dispatch::Image;
    use crate::generation::{Seed, StepProgress};
    use crate::gradio::cookies::CookieJar;
    use crate::gradio::space::Space;

    fn partial(number: u8) -> EventKind<()> {
        let space = Space::parse("http://127.0.0.1:7860").unwrap();
        let picture = Picture::Inline(Bytes::copy_from_slice(&[number]));
        let (seed, cookies) = (Seed::of_bits([0; 4]), CookieJar::new(space.origin().clone()));
        EventKind::Partial(Box::new(Image { space, picture, seed, size: None, cookies }))
    }

    fn step(index: u64) -> EventKind<()> {
        EventKind::Progress(Progress::Step(StepProgress { index: Some(index), length: Some(8), fraction: None }))
    }

    #[test]
    fn images_in_the_making_are_spread_over_the_work_where_it_is_told() {
        let mut partials = Partials::new(3);
        let mut chosen = Vec::new();
        for number in 1..=8 {
            partials.choose(0, &step(number.into()));
            if let Some(count) = partials.choose(0, &partial(number)) {
                chosen.push((number, count));
            }
        }
        assert_eq!(chosen, [(2, 0), (4, 1), (6, 2)]);
        let mut untold = Partials::new(2);
        let chosen: Vec<_> = [1, 1, 2, 3].into_iter().map(|number| untold.choose(7, &partial(number))).collect();
        assert_eq!(chosen, [Some(0), None, Some(1), None], "the same one twice is one");
        assert_eq!(Partials::new(0).choose(0, &partial(1)), None);
    }
}
