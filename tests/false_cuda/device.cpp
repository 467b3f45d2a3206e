// A false CUDA device for CPU builds of torch: tensors under the real dispatch keys (CUDA, AutogradCUDA, AutocastCUDA), in
// memory of their own, computed by the CPU's kernels. It refuses what a CUDA device refuses, two devices in one operator,
// and reports every wait of the host. For tests only; docs/devices.md says what it cannot show.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <set>

namespace {
using c10::Device, c10::DeviceIndex, c10::DeviceType, c10::DispatchKey, c10::Stream;
const Device kDevice(DeviceType::CUDA, 0);

// ---- Memory -------------------------------------------------------------------------------------------------------

void* allocate_nan(size_t bytes) {  // memory that is read before it was written shows
  void* start = bytes ? std::malloc(bytes) : nullptr;
  if (start) std::memset(start, 0xFF, bytes);
  return start;
}

struct DeviceMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* start = allocate_nan(bytes);
    return {start, start, &std::free, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
} device_memory;
REGISTER_ALLOCATOR(DeviceType::CUDA, &device_memory)

std::mutex pinning;
std::map<const char*, size_t>& pinned_blocks() {
  static auto* blocks = new std::map<const char*, size_t>();
  return *blocks;
}
bool is_pinned(const void* place) {
  std::lock_guard<std::mutex> held(pinning);
  auto after = pinned_blocks().upper_bound(static_cast<const char*>(place));
  if (after == pinned_blocks().begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return static_cast<const char*>(place) < start + bytes;
}
void free_pinned(void* start) {
  std::lock_guard<std::mutex> held(pinning);
  pinned_blocks().erase(static_cast<const char*>(start));
  std::free(start);
}
struct PinnedMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* start = allocate_nan(bytes);
    if (start) {
      std::lock_guard<std::mutex> held(pinning);
      pinned_blocks()[static_cast<const char*>(start)] = bytes;
    }
    return {start, start, &free_pinned, Device(DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
} pinned_memory;

// ---- Random numbers: the CPU's generators, under the device's name ---------------------------------------------------

struct DeviceRng final : c10::GeneratorImpl {
  explicit DeviceRng(uint64_t seed)
      : GeneratorImpl(kDevice, c10::DispatchKeySet(DispatchKey::CUDA)), inner(at::detail::createCPUGenerator(seed)) {}
  at::Generator inner;
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "the false device's generators have no offset"); }
  uint64_t get_offset() const override { return 0; }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.unsafeGetGeneratorImpl()->seed(); }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return inner.unsafeGetGeneratorImpl()->get_state(); }
  DeviceRng* clone_impl() const override {
    auto copy = new DeviceRng(0);
    copy->inner = inner.clone();
    return copy;
  }
};
at::Generator& default_rng() {
  static at::Generator rng = at::make_generator<DeviceRng>(c10::default_rng_seed_val);
  return rng;
}
at::Generator inner_of(const at::Generator& rng) { return static_cast<DeviceRng*>(rng.unsafeGetGeneratorImpl())->inner; }

// ---- What torch asks of a device -----------------------------------------------------------------------------------

struct DeviceGuard final : c10::impl::NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device exchangeDevice(Device) const override { return kDevice; }
  Device getDevice() const override { return kDevice; }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, kDevice); }
  Stream getDefaultStream(Device) const override { return Stream(Stream::DEFAULT, kDevice); }
  Stream getNewStream(Device, int) const override { return Stream(Stream::DEFAULT, kDevice); }
  Stream exchangeStream(Stream) const noexcept override { return Stream(Stream::DEFAULT, kDevice); }
  void synchronizeDevice(const DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, DeviceGuard)
}  // namespace

namespace at {
struct FalseHooks final : CUDAHooksInterface {
  explicit FalseHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  int getNumGPUs() const override { return 1; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex exchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  const Generator& getDefaultGenerator(DeviceIndex) const override { return default_rng(); }
  Generator getNewGenerator(DeviceIndex) const override { return make_generator<DeviceRng>(default_rng_seed_val); }
  Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
  bool isPinnedPtr(const void* place) const override { return is_pinned(place); }
  void deviceSynchronize(DeviceIndex) const override {}
};
using detail::getCUDAHooks;
C10_REGISTER_TYPED_CLASS(CUDAHooksRegistry, "CUDAHooks", FalseHooks)
}  // namespace at

namespace {
// ---- Waits and copies ----------------------------------------------------------------------------------------------

thread_local bool inside = false;  // a CPU kernel works for the device: its own copies are none of the host's
struct Inside {
  bool before = inside;
  Inside() { inside = true; }
  ~Inside() { inside = before; }
};

std::mutex counting;
std::map<std::string, int64_t> launches;
py::object* on_wait = nullptr;  // called as on_wait(kind, operator)

void launched(const std::string& name) {
  if (inside) return;
  std::lock_guard<std::mutex> held(counting);
  ++launches[name];
}

at::Tensor on_host(const at::Tensor& tensor) {  // the same memory, as a CPU kernel may see it
  if (tensor.is_cpu()) return tensor;
  auto* data = static_cast<char*>(const_cast<void*>(tensor.storage().data()));
  if (data) data += tensor.storage_offset() * tensor.element_size();
  return at::from_blob(data, tensor.sizes(), tensor.strides(), at::TensorOptions().dtype(tensor.scalar_type()));
}

// Copies to the host that it did not wait for: their target holds NaN until the host waits for the device.
std::vector<std::pair<at::Tensor, at::Tensor>> under_way;

void finish_copies() {
  Inside now;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  {
    std::lock_guard<std::mutex> held(counting);
    copies.swap(under_way);
  }
  c10::impl::ExcludeDispatchKeyGuard below(c10::autograd_dispatch_keyset);
  for (auto& [to, from] : copies) to.copy_(from);
}

void waits(const char* kind, const std::string& name) {
  if (inside) return;
  finish_copies();
  if (on_wait == nullptr) return;
  py::gil_scoped_acquire gil;
  (*on_wait)(kind, name);
}

at::Tensor& copy_(at::Tensor& self, const at::Tensor& src, bool non_blocking) {
  launched("aten::copy_");
  const bool to_host = self.is_cpu(), from_host = src.is_cpu();
  const bool is_async = non_blocking && is_pinned((to_host ? self : src).storage().data());
  c10::impl::ExcludeDispatchKeyGuard below(c10::autograd_dispatch_keyset);
  if (to_host && is_async && !inside) {
    Inside now;
    on_host(self).fill_(at::isFloatingType(self.scalar_type()) ? NAN : -1);
    std::lock_guard<std::mutex> held(counting);
    under_way.emplace_back(self, on_host(src).clone());
    return self;
  }
  if ((to_host || from_host) && !is_async) waits(to_host ? "device to host" : "host to device", "aten::copy_");
  Inside now;
  on_host(self).copy_(on_host(src));
  return self;
}
at::Tensor copy_from_and_resize(const at::Tensor& src, const at::Tensor& to) {
  Inside now;
  if (to.sizes() != src.sizes()) at::native::resize_(to, src.sizes(), std::nullopt);
  on_host(to).copy_(on_host(src));
  return to;
}
at::Tensor copy_from(const at::Tensor& src, const at::Tensor& to, bool) { return copy_from_and_resize(src, to); }
at::Scalar local_scalar(const at::Tensor& self) {
  launched("aten::_local_scalar_dense");
  waits("item", "aten::_local_scalar_dense");
  Inside now;
  return on_host(self).item();
}

// ---- Operators that make or view memory ------------------------------------------------------------------------------

using Dtype = std::optional<at::ScalarType>;
using Layout = std::optional<at::Layout>;
using Format = std::optional<at::MemoryFormat>;
const c10::DispatchKeySet kKeys(DispatchKey::CUDA);

at::Tensor empty(at::IntArrayRef size, Dtype dtype, Layout, std::optional<Device>, std::optional<bool>, Format format) {
  return at::detail::empty_generic(size, &device_memory, kKeys, c10::dtype_or_default(dtype), format);
}
at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, Dtype dtype, Layout, std::optional<Device>,
                         std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &device_memory, kKeys, c10::dtype_or_default(dtype));
}
const at::Tensor& resize_(const at::Tensor& self, c10::SymIntArrayRef size, Format format) {
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}
at::Tensor& set_storage(at::Tensor& self, at::Storage storage, c10::SymInt offset, c10::SymIntArrayRef size,
                        c10::SymIntArrayRef stride) {
  return at::native::set_storage_cpu_(self, storage, offset.expect_int(), C10_AS_INTARRAYREF_SLOW(size),
                                      C10_AS_INTARRAYREF_SLOW(stride));
}

// ---- All other operators: the CPU's kernel ---------------------------------------------------------------------------

const std::set<std::string> kWaitForSize{
    "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive",
    "aten::equal", "aten::bincount", "aten::repeat_interleave", "aten::multinomial", "aten::histc",
    "aten::_linalg_check_errors"};
const std::set<std::string> kTakeHostIndices{
    "aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::index_put"};
const std::set<std::string> kRefuseHostNumbers{
    "aten::cat", "aten::stack", "aten::index_select", "aten::gather", "aten::scatter", "aten::addmm", "aten::mm",
    "aten::bmm", "aten::convolution", "aten::native_batch_norm", "aten::embedding", "aten::index_copy", "aten::dot"};

// Whether an operator has a tensor on the device. Refuses one on the host beside it, but for numbers (no dimensions).
bool check_devices(const c10::FunctionSchema& schema, torch::jit::Stack& stack) {
  const auto& name = schema.name();
  const auto count = schema.arguments().size();
  auto arguments = torch::jit::last(stack, count);
  bool on_device = false, has_mask = false, host_indices = false;
  std::string on_the_host;
  auto look = [&](const at::Tensor& tensor, size_t i) {
    if (!tensor.defined()) return;
    const auto& argument = schema.arguments()[i];
    if (tensor.is_cuda()) {
      on_device = true;
      has_mask |= i > 0 && (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte);
    } else if (tensor.is_cpu()) {
      const bool is_written = argument.alias_info() && argument.alias_info()->isWrite();
      if (kTakeHostIndices.count(name) && argument.name() == "indices") host_indices = true;
      else if (is_written || tensor.dim() > 0 || kRefuseHostNumbers.count(name)) on_the_host = argument.name();
    }
  };
  for (size_t i = 0; i < count; ++i) {
    const auto& value = arguments[i];
    if (value.isTensor()) look(value.toTensor(), i);
    else if (value.isTensorList()) for (const at::Tensor& t : value.toTensorVector()) look(t, i);
    else if (value.isOptionalTensorList()) for (const auto& t : value.toOptionalTensorVector()) if (t) look(*t, i);
  }
  TORCH_CHECK(inside || !on_device || on_the_host.empty(),
              "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! (argument ",
              on_the_host, " of ", name, ")");
  launched(name);
  if (host_indices) waits("host indices to device", name);
  if (kWaitForSize.count(name) || (kTakeHostIndices.count(name) && has_mask)) waits("size of a result", name);
  return on_device;
}

// Puts the CPU's generators in the place of the device's; returns whether the operator takes one.
bool replace_generators(const c10::FunctionSchema& schema, torch::jit::Stack& stack, bool on_device) {
  bool takes_one = false;
  const auto count = schema.arguments().size();
  for (size_t i = 0; i < count; ++i) {
    const auto& type = schema.arguments()[i].type();
    const bool is_generator = type->kind() == c10::TypeKind::GeneratorType ||
        (type->kind() == c10::TypeKind::OptionalType &&
         type->castRaw<c10::OptionalType>()->getElementType()->kind() == c10::TypeKind::GeneratorType);
    if (!is_generator) continue;
    takes_one = true;
    auto& value = stack[stack.size() - count + i];
    if (value.isNone()) {
      value = inner_of(default_rng());
      continue;
    }
    auto given = value.toGenerator();
    TORCH_CHECK(given.device().type() == DeviceType::CUDA, "Expected a 'cuda' device type for generator but found '",
                given.device().type(), "'");
    TORCH_CHECK(on_device || inside, "Expected a 'cpu' device type for generator but found 'cuda'");
    value = inner_of(given);
  }
  return takes_one;
}

void run_cpu_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const bool on_device = check_devices(op.schema(), *stack);
  const bool takes_rng = replace_generators(op.schema(), *stack, on_device);
  Inside now;
  // An operator that draws without being given a generator, such as dropout, draws from the device's default one.
  const bool draws = !takes_rng && op.hasTag(at::Tag::nondeterministic_seeded);
  auto* host = at::detail::getDefaultCPUGenerator().unsafeGetGeneratorImpl();
  auto* own = inner_of(default_rng()).unsafeGetGeneratorImpl();
  c10::intrusive_ptr<c10::TensorImpl> before;
  if (draws) {
    before = host->get_state();
    host->set_state(*own->get_state());
  }
  at::native::cpu_fallback(op, stack);
  if (on_device) {  // also where the first argument was a number on the host
    for (auto& value : torch::jit::last(*stack, op.schema().returns().size())) {
      if (!value.isTensor() || !value.toTensor().defined() || !value.toTensor().is_cpu()) continue;
      auto moved = at::empty(value.toTensor().sizes(), value.toTensor().options().device(kDevice));
      const_cast<c10::IValue&>(value) = at::Tensor(copy_from_and_resize(value.toTensor(), moved));
    }
  }
  if (draws) {
    own->set_state(*host->get_state());
    host->set_state(*before);
  }
}

bool is_view(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns())
    if (result.alias_info() && !result.alias_info()->isWrite()) return true;
  return false;
}

// Registers the CPU's kernels for the device, operator by operator, so that what is one launch there is one call here.
void install() {
  static std::vector<c10::RegistrationHandleRAII>* registered = nullptr;
  if (registered) return;
  registered = new std::vector<c10::RegistrationHandleRAII>();
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const auto& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    auto op = dispatcher.findOp(name);
    if (!op || !op->hasSchema() || op->hasKernelForDispatchKey(DispatchKey::CUDA) || is_view(op->schema())) continue;
    const bool is_fused = name.name.rfind("aten::_foreach_", 0) == 0 || name.name.rfind("aten::convolution", 0) == 0;
    if (!op->hasKernelForDispatchKey(DispatchKey::CPU) && !is_fused) continue;
    registered->push_back(
        dispatcher.registerImpl(name, DispatchKey::CUDA, c10::KernelFunction::makeFromBoxedFunction<&run_cpu_kernel>(),
                                std::nullopt, nullptr, "false cuda"));
  }
}
}  // namespace

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", TORCH_FN(empty));
  m.impl("empty_strided", TORCH_FN(empty_strided));
  m.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("unfold", TORCH_FN(at::native::unfold));
  m.impl("resize_", TORCH_FN(resize_));
  m.impl("set_.source_Storage", TORCH_FN(static_cast<at::Tensor& (*)(at::Tensor&, at::Storage)>(&at::native::set_)));
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage));
  m.impl("set_.source_Tensor", TORCH_FN(at::native::set_tensor_));
  m.impl("copy_", TORCH_FN(copy_));
  m.impl("_copy_from", TORCH_FN(copy_from));
  m.impl("_copy_from_and_resize", TORCH_FN(copy_from_and_resize));
  m.impl("_local_scalar_dense", TORCH_FN(local_scalar));
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("install", &install);
  m.def("default_rng", [] { return default_rng(); });
  m.def("finish_copies", &finish_copies);
  m.def("launches", [] { std::lock_guard<std::mutex> held(counting); return launches; });
  m.def("reset", [] { std::lock_guard<std::mutex> held(counting); launches.clear(); });
  m.def("on_wait", [](py::object f) { delete on_wait; on_wait = f.is_none() ? nullptr : new py::object(f); });
}
