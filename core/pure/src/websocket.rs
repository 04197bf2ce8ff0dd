//! WebSocket frames as a server sends them (RFC 6455, 5.2), as far as each is a whole text message in its shortest form.

const HEAD: u8 = 0x81; // final, no reserved bits, text

/// Text messages from a place on, up to the first frame that is anything else, or is not here as a whole.
pub struct Texts<'a> {
    sent: &'a [u8],
    pub at: usize, // where the next frame begins
    size_max: usize,
}

impl<'a> Texts<'a> {
    pub fn new(sent: &'a [u8], begin: usize, size_max: usize) -> Texts<'a> {
        Texts { sent, at: begin, size_max }
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let frame = self.sent.get(self.at..)?;
        let (begin, size) = match *frame {
            [HEAD, size @ ..126, ..] => (2, usize::from(size)),
            [HEAD, 126, high, low, ..] if high > 0 || low > 125 => (4, usize::from(high) << 8 | usize::from(low)),
            _ => return None,
        };
        if size > self.size_max {
            return None;
        }
        let text = frame.get(begin..begin + size)?;
        self.at += begin + size;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Texts;

    fn frame(size: usize) -> Vec<u8> {
        let mut frame = match size {
            ..126 => vec![0x81, size as u8],
            _ => vec![0x81, 126, (size >> 8) as u8, size as u8],
        };
        frame.resize(frame.len() + size, b'x');
        frame
    }

    #[test]
    fn whole_texts_are_taken_wherever_they_end() {
        let sizes = [0, 1, 125, 126, 255, 256, 65_535];
        let sent: Vec<u8> = sizes.iter().flat_map(|size| frame(*size)).collect();
        let mut texts = Texts::new(&sent, 0, 65_535);
        assert!(texts.by_ref().map(<[u8]>::len).eq(sizes));
        assert_eq!(texts.at, sent.len());
        let mut cut = Texts::new(&sent[..sent.len() - 1], 0, 65_535);
        assert_eq!(cut.by_ref().count(), sizes.len() - 1);
        assert_eq!(cut.at, sent.len() - frame(65_535).len());
    }

    #[test]
    fn what_is_anything_else_is_left() {
        let long = [&[0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1][..], b"x"].concat();
        let masked = [0x81, 0x81, 1, 2, 3, 4, 5];
        for other in [&[0x82, 0][..], &[0x01, 0], &[0xc1, 0], &[0x80, 0], &[0x81, 126, 0, 125], &long, &masked] {
            let sent = [&frame(3)[..], other, &[b'x'; 200]].concat();
            let mut texts = Texts::new(&sent, 0, 65_535);
            assert_eq!((texts.by_ref().count(), texts.at), (1, 5), "{other:?}");
        }
        assert_eq!(Texts::new(&frame(9), 0, 8).count(), 0);
        assert_eq!(Texts::new(&frame(9), 99, 9).count(), 0);
    }
}
