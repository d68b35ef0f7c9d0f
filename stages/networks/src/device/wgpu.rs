//! GPUs of any make, through Vulkan, Metal, Direct3D or OpenGL.
//!
//! A machine often has several of these interfaces to one GPU. The list has the GPUs of the first interface that has
//! any, and the drivers in software of that one and of those before it.

use std::sync::LazyLock;

use burn::backend::{CubeDevice, WgpuBackend, WgpuDevice, WgpuDeviceKind};
use burn::tensor::Device;
use burn::tensor::wgpu::wgpu::{
    Adapter, AdapterInfo, Backend as Api, DeviceType, Features, Instance, InstanceDescriptor,
};
use futures_util::FutureExt;

use super::gpu::{Gpu, GpuKind};
use crate::model::Precision;

/// The interfaces, the preferred one first, as Burn names them too.
const APIS: [(Api, WgpuBackend); 4] = [
    (Api::Vulkan, WgpuBackend::Vulkan),
    (Api::Metal, WgpuBackend::Metal),
    (Api::Dx12, WgpuBackend::Dx12),
    (Api::Gl, WgpuBackend::Gl),
];

/// The GPUs of this machine. They are asked for once: each time takes a tenth of a second, and drivers print warnings.
static FOUND: LazyLock<Vec<Found>> = LazyLock::new(found);

/// A GPU with the name that Burn has for it.
struct Found {
    device: WgpuDevice,
    kind: GpuKind,
    info: AdapterInfo,
    features: Features,
}

pub(super) fn list() -> Vec<Gpu> {
    FOUND.iter().enumerate().map(|(index, found)| found.gpu(index)).collect()
}

/// Opens a GPU.
pub(super) fn open(index: usize) -> Option<Device> {
    Some(Device::new(CubeDevice::Wgpu(FOUND.get(index)?.device.clone())))
}

fn found() -> Vec<Found> {
    let mut all = Vec::new();
    for (api, pinned) in APIS {
        all.extend(of_api(api, pinned));
        if all.iter().any(|found: &Found| found.kind != GpuKind::Software) {
            break;
        }
    }
    // Stable, so GPUs of one kind keep the order of their driver.
    all.sort_by_key(|found| found.kind);
    all
}

fn of_api(api: Api, pinned: WgpuBackend) -> Vec<Found> {
    let descriptor = InstanceDescriptor { backends: api.into(), ..InstanceDescriptor::new_without_display_handle() };
    let adapters = Instance::new(descriptor).enumerate_adapters(api.into()).now_or_never();
    let adapters: Vec<Adapter> = adapters.expect("outside browsers it does not wait");
    let mut found: Vec<Found> = Vec::new();
    for adapter in adapters {
        let info = adapter.get_info();
        let kind = kind(info.device_type);
        // Burn counts the GPUs of each kind, and knows one driver in software.
        let place = found.iter().filter(|other| other.kind == kind).count();
        let device = match kind {
            GpuKind::Discrete => WgpuDeviceKind::DiscreteGpu(place),
            GpuKind::Virtual => WgpuDeviceKind::VirtualGpu(place),
            GpuKind::Integrated => WgpuDeviceKind::IntegratedGpu(place),
            GpuKind::Other => WgpuDeviceKind::Other(place),
            GpuKind::Software if place > 0 => continue,
            GpuKind::Software => WgpuDeviceKind::Cpu,
        };
        found.push(Found { device: WgpuDevice::new(device).on(pinned), kind, info, features: adapter.features() });
    }
    found
}

fn kind(reported: DeviceType) -> GpuKind {
    match reported {
        DeviceType::DiscreteGpu => GpuKind::Discrete,
        DeviceType::VirtualGpu => GpuKind::Virtual,
        DeviceType::IntegratedGpu => GpuKind::Integrated,
        DeviceType::Cpu => GpuKind::Software,
        DeviceType::Other => GpuKind::Other,
    }
}

impl Found {
    fn gpu(&self, index: usize) -> Gpu {
        let Self { kind, info, features, .. } = self;
        let driver = [&info.driver, &info.driver_info].map(String::as_str);
        let driver: Vec<_> = driver.into_iter().filter(|text| !text.is_empty()).collect();
        Gpu {
            name: format!("wgpu:{index}"),
            model: Some(info.name.clone()),
            kind: *kind,
            api: format!("{:?}", info.backend),
            driver: Some(driver.join(" ")).filter(|driver| !driver.is_empty()),
            pci: Some(info.device_pci_bus_id.clone()).filter(|address| !address.is_empty()),
            precisions: precisions(info.backend, *features),
        }
    }
}

/// Returns the precisions of kernels in WGSL; with the feature `vulkan`, those in SPIR-V are known to an open device
/// alone. WGSL has no bf16.
fn precisions(api: Api, features: Features) -> Option<Vec<Precision>> {
    if cfg!(feature = "vulkan") && api == Api::Vulkan {
        return None;
    }
    let f16 = features.contains(Features::SHADER_F16).then_some(Precision::F16);
    Some([Precision::F32].into_iter().chain(f16).collect())
}
