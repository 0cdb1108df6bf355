use std::io::Write;

use http_body_util::Full;
use hyper::header::HeaderValue;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::BROADCAST);

async fn read(
    bytes: Vec<u8>,
    encoding: ContentEncoding,
    bytes_max: usize,
) -> Result<Vec<u8>, Refused> {
    let taker = BodyTaker::new(bytes_max, Duration::from_secs(1), 8 << 20);
    taker
        .take(CLIENT, Full::new(Bytes::from(bytes)), encoding)
        .await
        .map(|taken| taken.bytes.to_vec())
}

#[tokio::test]
async fn bodies_are_unpacked_up_to_their_bound() {
    let text = b"x".repeat(1000);
    for (packed, encoding) in [
        (text.clone(), ContentEncoding::None),
        (gzip(&text), ContentEncoding::Gzip),
        ([gzip(&text[..400]), gzip(&text[400..])].concat(), ContentEncoding::Gzip),
        (zstd::encode_all(&text[..], 1).unwrap(), ContentEncoding::Zstd),
    ] {
        assert_eq!(read(packed.clone(), encoding, 1000).await.unwrap(), text);
        let refused = read(packed, encoding, 999).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{encoding:?}");
    }
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_takes_memory() {
    let zeros = vec![0; 64 << 20];
    for (packed, encoding) in [
        (gzip(&zeros), ContentEncoding::Gzip),
        (zstd::encode_all(&zeros[..], 1).unwrap(), ContentEncoding::Zstd),
    ] {
        assert!(packed.len() < 100_000);
        let refused = read(packed, encoding, 1 << 20).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn what_is_not_packed_as_it_says_is_refused() {
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
        let refused = read(b"{\"a\":1}".to_vec(), encoding, 1000).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
    let mut cut_off = gzip(b"{\"a\":1}");
    cut_off.truncate(12);
    assert_eq!(
        read(cut_off, ContentEncoding::Gzip, 99).await.unwrap_err().status,
        StatusCode::BAD_REQUEST
    );
}

#[test]
fn the_head_says_what_the_body_is() {
    let kind = |kind: &'static str, encoding: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        body_kind(&headers).map_err(|refused| refused.status)
    };
    let taken = |encoding, is_ndjson| Ok(BodyKind { encoding, is_ndjson });
    assert_eq!(kind("application/json; charset=utf-8", ""), taken(ContentEncoding::None, false));
    assert_eq!(kind("text/plain;charset=UTF-8", "gzip"), taken(ContentEncoding::Gzip, false));
    assert_eq!(kind("application/x-ndjson", "ZSTD"), taken(ContentEncoding::Zstd, true));
    for (other, encoding) in [("text/html", ""), ("application/json", "br"), ("image/gif", "")] {
        assert_eq!(kind(other, encoding), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    assert!(body_kind(&HeaderMap::new()).is_ok());
}

#[tokio::test]
async fn bodies_have_room_for_what_has_arrived_and_as_long_as_they_are_held() {
    let taker = BodyTaker::new(1000, Duration::from_millis(50), 3000);
    let send = |bytes: usize| Full::new(Bytes::from(vec![b' '; bytes]));
    // Those that send nothing hold nothing, and are not waited for.
    let silent = || http_body_util::StreamBody::new(futures::stream::pending());
    type Silent = Result<hyper::body::Frame<Bytes>, std::io::Error>;
    let silent: Vec<_> = (0..100)
        .map(|_| {
            let body: http_body_util::StreamBody<futures::stream::Pending<Silent>> = silent();
            taker.take(CLIENT, body, ContentEncoding::Gzip)
        })
        .collect();
    let all = futures::future::join_all(silent);
    let (first, silent) =
        futures::join!(taker.take(CLIENT, send(1000), ContentEncoding::None), all);
    let first = first.unwrap();
    for refused in silent {
        assert_eq!(refused.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
    }
    let refused = taker.take(CLIENT, send(501), ContentEncoding::None).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(taker.take(CLIENT, send(500), ContentEncoding::None).await.is_ok());
    drop(first);
    let packed = zstd::encode_all(&[b' '; 700][..], 1).unwrap();
    let packed = || Full::new(Bytes::from(packed.clone()));
    let unpacked = taker.take(CLIENT, packed(), ContentEncoding::Zstd).await.unwrap();
    assert_eq!(unpacked.memory.bytes(), 700);
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_whole_and_has_room_for_all_of_them() {
    use hyper::body::Frame;
    let taker = BodyTaker::new(9, Duration::from_secs(1), 100);
    let take = |pieces: &[&'static str]| {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(piece.as_bytes()))))
            .collect();
        let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
        taker.take(CLIENT, body, ContentEncoding::None)
    };
    for pieces in [&["abcdefghi"][..], &["abc", "def", "ghi"], &["", "abcdef", "", "ghi", ""]] {
        let taken = take(pieces).await.unwrap();
        assert_eq!((&taken.bytes[..], taken.memory.bytes()), (&b"abcdefghi"[..], 9));
    }
    assert!(take(&[]).await.unwrap().bytes.is_empty());
    let refused = take(&["abcde", "fghij"]).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn one_client_with_large_bodies_that_fall_silent_keeps_nobody_else_out() {
    use futures::StreamExt;
    use hyper::body::Frame;
    let taker = BodyTaker::new(1000, Duration::from_millis(300), 20_000);
    let silent = (0..40).map(|_| {
        let piece = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[b' '; 999])));
        let pieces = futures::stream::iter([piece]).chain(futures::stream::pending());
        taker.take(CLIENT, http_body_util::StreamBody::new(pieces), ContentEncoding::None)
    });
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut taken = Vec::new();
        for _ in 0..9 {
            let body = Full::new(Bytes::from(vec![b' '; 500]));
            taken.push(taker.take(OTHER, body, ContentEncoding::None).await.unwrap());
        }
    };
    let (silent, ()) = futures::join!(futures::future::join_all(silent), others);
    let count = |status| {
        silent
            .iter()
            .filter(|one| one.as_ref().is_err_and(|refused| refused.status == status))
            .count()
    };
    assert_eq!(count(StatusCode::REQUEST_TIMEOUT), 10, "half of the memory");
    assert_eq!(count(StatusCode::SERVICE_UNAVAILABLE), 30);
}
