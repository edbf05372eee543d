use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::super::folder::{open_file, segment_path};
use super::super::frame::{Frames, Item};
use super::super::record::tests::{ended, opened};
use super::super::record::{Opened, Record};
use super::super::replay::Replay;
use super::*;

const LARGE: u64 = 1 << 30;

fn log(place: &TempDir, max_bytes: u64) -> Log {
    let log = Log::new(place.path().to_owned(), 1, 0, max_bytes);
    log.replayed();
    log
}

fn id(request: u128) -> RequestId {
    RequestId(Uuid::from_u128(request))
}

async fn open(log: &Log, request: u128) -> Result<(), NotWritten> {
    log.open(id(request), opened(request).frame().unwrap()).await
}

async fn settle(log: &Log, request: u128) {
    log.settle(id(request), &opened(request).settled_frame(&ended()).unwrap(), true).await.unwrap();
}

fn acknowledge(log: &Log, requests: impl IntoIterator<Item = u128>) {
    log.acknowledge(requests.into_iter().map(id));
}

fn segments(place: &Path) -> Vec<u64> {
    let mut numbers: Vec<u64> = fs::read_dir(place)
        .unwrap()
        .filter_map(|entry| entry.unwrap().path().file_stem()?.to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// What a start would find: requests that are over, and those that are interrupted.
fn left(place: &Path) -> (Vec<u128>, Vec<u128>) {
    let mut replay = Replay::new(place, segments(place));
    let (mut over, mut interrupted) = (Vec::new(), Vec::new());
    while let Some(rows) = replay.next_rows().unwrap() {
        for row in rows {
            if row.interrupted { &mut interrupted } else { &mut over }.push(row.id.0.as_u128());
        }
    }
    over.sort_unstable();
    interrupted.sort_unstable();
    (over, interrupted)
}

#[tokio::test]
async fn everything_written_is_there_for_the_next_start_and_goes_once_the_ledger_has_it() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, LARGE);
    for request in 1..=5 {
        open(&log, request).await.unwrap();
    }
    for request in [1, 2, 3] {
        settle(&log, request).await;
    }
    assert_eq!(left(place.path()), (vec![1, 2, 3], vec![4, 5]));
    acknowledge(&log, [1, 2, 3]);
    log.close();
    assert_eq!(left(place.path()), (vec![1, 2, 3], vec![4, 5]), "two requests still need their segment");
    settle(&log, 4).await;
    settle(&log, 5).await;
    acknowledge(&log, [4, 5]);
    log.close();
    assert_eq!(segments(place.path()), Vec::<u64>::new());
}

#[tokio::test]
async fn where_much_goes_on_one_write_is_for_all_who_are_ready() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, LARGE);
    for request in 1..=16 {
        open(&log, request).await.unwrap();
    }
    let mut context = Context::from_waker(Waker::noop());
    let [mut first, mut second] = [17, 18].map(|request| Box::pin(open(&log, request)));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert_eq!(left(place.path()).1.len(), 16, "both let others go first");
    assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(left(place.path()).1.len(), 18, "the first has written for the second");
    assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_written_and_never_torn() {
    const TASKS: u128 = 16;
    const EACH: u128 = 200;
    let place = tempfile::tempdir().unwrap();
    // Small, so that segments change under load.
    let log = Arc::new(log(&place, 4 * 1024 * 1024));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (log, place) = (log.clone(), place.path().to_owned());
            tokio::spawn(async move {
                for request in task * EACH..(task + 1) * EACH {
                    open(&log, request).await.unwrap();
                    settle(&log, request).await;
                    if request % EACH == EACH / 2 {
                        assert!(left(&place).0.contains(&request), "settled and not with the kernel");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(left(place.path()), ((0..TASKS * EACH).collect(), vec![]));
    assert!(segments(place.path()).len() > 2);
    for number in segments(place.path()) {
        let bytes = fs::read(segment_path(place.path(), number)).unwrap();
        assert!(
            Frames::new(&bytes).all(|item| matches!(item, Item::Frame(_))),
            "segment {number} has damage"
        );
    }
    acknowledge(&log, 0..TASKS * EACH);
    log.close();
    assert_eq!(segments(place.path()), Vec::<u64>::new());
}

#[tokio::test]
async fn at_its_bound_it_takes_no_openings_but_every_end_and_recovers() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, 64 * 1024);
    let mut count = 0;
    while open(&log, count + 1).await.is_ok() {
        count += 1;
        assert!(count < 1_000, "it has no bound");
    }
    assert!(count > 200, "only {count} requests fit");
    assert_eq!(log.intake(), Intake::Full);
    settle(&log, 1).await;
    assert_eq!(left(place.path()), (vec![1], (2..=count).collect()));
    log.tend();
    assert_eq!(open(&log, 5_000).await, Err(NotWritten), "nothing has got better");
    for request in 2..=count {
        settle(&log, request).await;
    }
    acknowledge(&log, 1..=count);
    // One round frees what can be freed, the next one sees it.
    log.tend();
    log.tend();
    assert_eq!(log.intake(), Intake::Open);
    open(&log, 5_001).await.unwrap();
    assert_eq!(left(place.path()).1, [5_001]);
}

/// A long stream must not keep every record that came after its opening.
#[tokio::test]
async fn a_long_request_holds_nothing_back_and_is_not_lost() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, 256 * 1024);
    open(&log, 1).await.unwrap();
    for request in 2..2_000 {
        open(&log, request).await.unwrap();
        settle(&log, request).await;
        acknowledge(&log, [request]);
        if request % 50 == 0 {
            log.tend();
        }
    }
    log.tend();
    assert!(segments(place.path()).len() < 8, "{:?}", segments(place.path()));
    assert_eq!(left(place.path()).1, [1], "the opening of the long request is gone");
    settle(&log, 1).await;
    acknowledge(&log, [1]);
    log.close();
    assert_eq!(segments(place.path()), Vec::<u64>::new());
}

/// `/dev/full` in a segment's place: every write fails for want of room.
#[tokio::test]
async fn a_disk_without_room_refuses_openings_keeps_ends_and_is_used_again_when_it_has_some() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, LARGE);
    let path = segment_path(place.path(), 1);
    symlink("/dev/full", &path).unwrap();
    assert_eq!(open(&log, 1).await, Err(NotWritten));
    assert_eq!(log.intake(), Intake::Failing);
    assert_eq!(open(&log, 2).await, Err(NotWritten));
    // The end of a request that was opened before; its client does not wait for the disk.
    settle(&log, 3).await;
    assert!(log.tend(), "it must look again soon");
    assert_eq!(log.intake(), Intake::Failing);
    fs::remove_file(&path).unwrap();
    log.tend();
    assert_eq!(log.intake(), Intake::Open);
    open(&log, 4).await.unwrap();
    assert_eq!(left(place.path()), (vec![3], vec![4]), "a refused opening was written, or an end was not");
    settle(&log, 4).await;
    acknowledge(&log, [3, 4]);
    log.close();
    assert_eq!(segments(place.path()), Vec::<u64>::new());
}

/// Half a chunk on the disk, as after a full disk, must not come before whole ones.
#[tokio::test]
async fn a_restart_after_half_a_write_reads_everything_before_it() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, LARGE);
    open(&log, 1).await.unwrap();
    settle(&log, 1).await;
    let path = segment_path(place.path(), 1);
    let half = opened(2).frame().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&half[..half.len() - 1]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(left(place.path()), (vec![1], vec![]));
}

#[tokio::test]
async fn what_memory_had_no_room_for_is_read_back() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, LARGE);
    for request in 1..=3 {
        open(&log, request).await.unwrap();
        settle(&log, request).await;
    }
    open(&log, 4).await.unwrap();
    log.spill(id(2));
    log.spill(id(3));
    acknowledge(&log, [1]);
    let reading = log.begin_read_back().unwrap();
    assert!(log.begin_read_back().is_none(), "it is being read already");
    let mut replay = Replay::settled_only(place.path(), reading.segments.clone());
    let rows = replay.next_rows().unwrap().unwrap();
    assert_eq!(rows.iter().map(|row| row.id.0.as_u128()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(replay.next_rows().unwrap().is_none(), "a running request was taken for an interrupted one");
    log.close();
    assert_eq!(left(place.path()).0, [1, 2, 3], "deleted before the ledger had it");
    log.end_read_back(reading);
    settle(&log, 4).await;
    acknowledge(&log, [4]);
    log.close();
    assert_eq!(segments(place.path()), Vec::<u64>::new());
}

#[tokio::test]
async fn a_request_that_was_never_forwarded_is_written_once() {
    let place = tempfile::tempdir().unwrap();
    let log = log(&place, LARGE);
    settle(&log, 1).await;
    assert_eq!(left(place.path()), (vec![1], vec![]));
    acknowledge(&log, [1]);
    log.close();
    assert_eq!(segments(place.path()), Vec::<u64>::new());
}

#[test]
fn a_segment_that_lies_there_is_not_written_over() {
    let place = tempfile::tempdir().unwrap();
    fs::write(segment_path(place.path(), 1), b"something").unwrap();
    let mut output = Output::new(place.path().to_owned());
    let mut chunk = Chunk::default();
    chunk.push(1, b" and more");
    output.write(&[chunk]).unwrap();
    assert_eq!(fs::read(segment_path(place.path(), 1)).unwrap(), b"something and more");
    assert!(open_file(&segment_path(place.path(), 1)).is_ok());
}

/// Openings repeat after being carried over; a start must still see one request.
#[tokio::test]
async fn an_opening_written_twice_is_one_request() {
    let place = tempfile::tempdir().unwrap();
    let frame = opened(1).frame().unwrap();
    fs::write(segment_path(place.path(), 1), [frame.clone(), frame].concat()).unwrap();
    assert_eq!(left(place.path()), (vec![], vec![1]));
    let bytes = fs::read(segment_path(place.path(), 1)).unwrap();
    let Some(Item::Frame(first)) = Frames::new(&bytes).next() else { panic!("no frame") };
    let expected: Opened<'_> = opened(1);
    assert_eq!(Record::read(&first).unwrap(), Some(Record::Open(expected)));
}
