// A push loop in Rust on edgeaff.h, without a crate: the structs below are those of the header.
//
//   rustc --edition 2021 -L PREFIX/lib -C link-arg=-Wl,-rpath,PREFIX/lib push_loop.rs
//   ./push_loop edge.eaff
use std::ffi::{c_char, c_void, CStr, CString};
use std::mem::size_of;
use std::ptr::{null, null_mut};

#[repr(C)]
struct Error {
    size: u32,
    code: i32,
    message: [c_char; 248],
}

#[repr(C)]
struct Image {
    size: u32,
    pixels: i32, // 0: RGB
    width: i32,
    height: i32,
    planes: [*const u8; 2],
    row_stride: [isize; 2], // 0: packed
    pixel_stride: isize,
    channel_stride: isize,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Event {
    size: u32,
    status: i32,
    has_face: i32,
    precision_bits: i32,
    seq: u64,
    pts_ns: i64,
    numbers: [f64; 10], // valence, arousal, ... in the order of the header
    track_id: i64,
    face_box: [f64; 4],
    score: f64,
}

#[link(name = "edgeaff")]
extern "C" {
    fn edgeaff_model_open(path: *const c_char, allocator: *const c_void, model: *mut *mut c_void, error: *mut Error) -> i32;
    fn edgeaff_model_release(model: *mut c_void);
    fn edgeaff_session_create(model: *mut c_void, options: *const c_void, session: *mut *mut c_void, error: *mut Error) -> i32;
    fn edgeaff_session_destroy(session: *mut c_void);
    fn edgeaff_push_frame(session: *mut c_void, image: *const Image, pts_ns: i64) -> i32;
    fn edgeaff_push_audio_f32(session: *mut c_void, samples: *const f32, count: usize, rate_hz: i32, pts_ns: i64) -> i32;
    fn edgeaff_finish(session: *mut c_void) -> i32;
    fn edgeaff_poll(session: *mut c_void, event: *mut Event) -> i32;
    fn edgeaff_message(session: *const c_void) -> *const c_char;
}

/// One stream with its model; both are given back when it goes.
struct Session {
    model: *mut c_void,
    session: *mut c_void,
}

impl Session {
    fn open(path: &str) -> Result<Session, String> {
        let path = CString::new(path).map_err(|error| error.to_string())?;
        let mut error = Error { size: size_of::<Error>() as u32, code: 0, message: [0; 248] };
        let mut made = Session { model: null_mut(), session: null_mut() };
        let mut code = unsafe { edgeaff_model_open(path.as_ptr(), null(), &mut made.model, &mut error) };
        if code >= 0 {
            code = unsafe { edgeaff_session_create(made.model, null(), &mut made.session, &mut error) };
        }
        if code < 0 {
            return Err(unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_string_lossy().into_owned());
        }
        Ok(made)
    }

    fn check(&self, code: i32) -> Result<(), String> {
        if code >= 0 {
            return Ok(());
        }
        Err(unsafe { CStr::from_ptr(edgeaff_message(self.session)) }.to_string_lossy().into_owned())
    }

    fn push_rgb(&mut self, pixels: &[u8], width: i32, height: i32, pts_ns: i64) -> Result<(), String> {
        assert_eq!(pixels.len(), (width * height * 3) as usize);
        let mut image: Image = unsafe { std::mem::zeroed() };
        image.size = size_of::<Image>() as u32;
        (image.width, image.height, image.planes[0]) = (width, height, pixels.as_ptr());
        self.check(unsafe { edgeaff_push_frame(self.session, &image, pts_ns) })
    }

    fn push_audio(&mut self, samples: &[f32], rate_hz: i32, pts_ns: i64) -> Result<(), String> {
        self.check(unsafe { edgeaff_push_audio_f32(self.session, samples.as_ptr(), samples.len(), rate_hz, pts_ns) })
    }

    fn finish(&mut self) -> Result<(), String> {
        self.check(unsafe { edgeaff_finish(self.session) })
    }

    fn poll(&mut self) -> Option<Event> {
        let mut event: Event = unsafe { std::mem::zeroed() };
        event.size = size_of::<Event>() as u32;
        (unsafe { edgeaff_poll(self.session, &mut event) } == 1).then_some(event)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        unsafe {
            edgeaff_session_destroy(self.session);
            edgeaff_model_release(self.model);
        }
    }
}

fn main() -> Result<(), String> {
    const SECOND: i64 = 1_000_000_000;
    const TICKS: i64 = 60;
    let path = std::env::args().nth(1).ok_or("usage: push_loop BUNDLE")?;
    let mut session = Session::open(&path)?;
    let (gray, silence) = (vec![128u8; 320 * 240 * 3], vec![0f32; 533]);
    let mut events = 0;
    for tick in 0..TICKS {
        session.push_rgb(&gray, 320, 240, tick * SECOND / 30)?;
        session.push_audio(&silence, 16_000, tick * SECOND / 30)?;
        while let Some(event) = session.poll() {
            events += 1;
            println!("{:.3} s  status {}  valence {:+.3}", event.pts_ns as f64 / SECOND as f64, event.status, event.numbers[0]);
        }
    }
    session.finish()?;
    while session.poll().is_some() {
        events += 1;
    }
    if events == TICKS { Ok(()) } else { Err(format!("{events} events instead of {TICKS}")) }
}
