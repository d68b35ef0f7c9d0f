//! Tags of the attributes that are read. Source: DICOM PS3.6 2024, section 6.

/// Group and element.
pub(super) type Tag = u32;

pub(super) const TRANSFER_SYNTAX: Tag = 0x0002_0010;
pub(super) const MEDIA_CLASS: Tag = 0x0002_0002;

pub(super) const SOP_CLASS: Tag = 0x0008_0016;
pub(super) const SOP_INSTANCE: Tag = 0x0008_0018;
pub(super) const MODALITY: Tag = 0x0008_0060;
pub(super) const REFERENCED_SERIES: Tag = 0x0008_1115;
pub(super) const REFERENCED_INSTANCES: Tag = 0x0008_114A;
pub(super) const REFERENCED_INSTANCE: Tag = 0x0008_1155;
pub(super) const REFERENCED_FRAMES: Tag = 0x0008_1160;
pub(super) const SOURCE_IMAGES: Tag = 0x0008_2112;
pub(super) const DERIVATION_IMAGES: Tag = 0x0008_9124;
pub(super) const PATIENT: Tag = 0x0010_0020;
pub(super) const SERIES: Tag = 0x0020_000E;
pub(super) const POSITION: Tag = 0x0020_0032;
pub(super) const ORIENTATION: Tag = 0x0020_0037;
pub(super) const PLANE_POSITION: Tag = 0x0020_9113;
pub(super) const PLANE_ORIENTATION: Tag = 0x0020_9116;

pub(super) const SAMPLES: Tag = 0x0028_0002;
pub(super) const PHOTOMETRIC: Tag = 0x0028_0004;
pub(super) const PLANAR: Tag = 0x0028_0006;
pub(super) const FRAMES: Tag = 0x0028_0008;
pub(super) const ROWS: Tag = 0x0028_0010;
pub(super) const COLUMNS: Tag = 0x0028_0011;
pub(super) const BITS_ALLOCATED: Tag = 0x0028_0100;
pub(super) const BITS_STORED: Tag = 0x0028_0101;
pub(super) const HIGH_BIT: Tag = 0x0028_0102;
pub(super) const SIGNED: Tag = 0x0028_0103;
pub(super) const PADDING: Tag = 0x0028_0120;
pub(super) const PADDING_LIMIT: Tag = 0x0028_0121;
pub(super) const BURNED_IN: Tag = 0x0028_0301;
pub(super) const WINDOW_CENTER: Tag = 0x0028_1050;
pub(super) const WINDOW_WIDTH: Tag = 0x0028_1051;
pub(super) const RESCALE_INTERCEPT: Tag = 0x0028_1052;
pub(super) const RESCALE_SLOPE: Tag = 0x0028_1053;
pub(super) const WINDOW_FUNCTION: Tag = 0x0028_1056;
/// Descriptors of the red, green and blue palettes.
pub(super) const PALETTE_DESCRIPTORS: [Tag; 3] = [0x0028_1101, 0x0028_1102, 0x0028_1103];
pub(super) const PALETTES: [Tag; 3] = [0x0028_1201, 0x0028_1202, 0x0028_1203];
pub(super) const MODALITY_LUT: Tag = 0x0028_3000;
pub(super) const LUT_DESCRIPTOR: Tag = 0x0028_3002;
pub(super) const LUT_DATA: Tag = 0x0028_3006;
pub(super) const FRAME_WINDOW: Tag = 0x0028_9132;
pub(super) const PIXEL_TRANSFORM: Tag = 0x0028_9145;

pub(super) const SEGMENT_TYPE: Tag = 0x0062_0001;
pub(super) const SEGMENT_IDENTIFICATION: Tag = 0x0062_000A;
pub(super) const SEGMENT_NUMBER: Tag = 0x0062_000B;
pub(super) const FRACTION_MAX: Tag = 0x0062_000E;

pub(super) const SHARED_GROUPS: Tag = 0x5200_9229;
pub(super) const FRAME_GROUPS: Tag = 0x5200_9230;
pub(super) const OFFSETS: Tag = 0x7FE0_0001;
pub(super) const FLOAT_PIXELS: Tag = 0x7FE0_0008;
pub(super) const DOUBLE_PIXELS: Tag = 0x7FE0_0009;
pub(super) const INTEGER_PIXELS: Tag = 0x7FE0_0010;
/// Attributes that hold pixels; a file has one of them.
pub(super) const PIXELS: [Tag; 3] = [INTEGER_PIXELS, FLOAT_PIXELS, DOUBLE_PIXELS];

pub(super) const ITEM: Tag = 0xFFFE_E000;
pub(super) const ITEM_END: Tag = 0xFFFE_E00D;
pub(super) const SEQUENCE_END: Tag = 0xFFFE_E0DD;
