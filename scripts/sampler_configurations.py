"""The configurations that make_sampler_goldens.py runs: diffusers schedulers, their settings and numbers of steps.

Each is `(scheduler, number of steps, arguments of its constructor, arguments of its step)`. Arguments not named have
diffusers' defaults. The comments say what each group is for.
"""

# Beta schedules. Linear 1e-4..0.02 over 1000 steps is the default, except for Heun.
LINEAR = {"beta_start": 1e-4, "beta_end": 0.02}
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}

LEADING = {"timestep_spacing": "leading"}
TRAILING = {"timestep_spacing": "trailing"}
LINSPACE = {"timestep_spacing": "linspace"}
OFFSET = {"timestep_spacing": "leading", "steps_offset": 1}

V = {"prediction_type": "v_prediction"}
X_0 = {"prediction_type": "sample"}
FREE = {"clip_sample": False}
# With diffusers' default, sample_max_value = 1, dynamic thresholding is plain clipping.
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
KARRAS = {"use_karras_sigmas": True}
EXPONENTIAL = {"use_exponential_sigmas": True}
TO_SIGMA_MIN = {"final_sigmas_type": "sigma_min"}


def ddpm():
    def of(steps, *arguments):
        return ("DDPMScheduler", steps, arguments, {})

    large, learned = {"variance_type": "fixed_large"}, {"variance_type": "learned_range"}
    return [
        # Spacings, with and without clipping. 7 does not divide 1000.
        of(20),
        of(20, FREE),
        of(7, FREE),
        of(20, OFFSET),
        of(25, LINSPACE, FREE),
        of(15, LINSPACE),
        of(20, TRAILING),
        of(12, TRAILING, FREE),
        # A full chain.
        of(20, {"num_train_timesteps": 20, "beta_start": 0.01, "beta_end": 0.4}),
        # Predictions and schedules.
        of(20, TRAILING, X_0),
        of(15, LINSPACE, X_0, COSINE, FREE),
        of(10, V, COSINE),
        of(10, TRAILING, V, SCALED, FREE),
        of(10, TRAILING, V, {"rescale_betas_zero_snr": True}),
        # Variances.
        of(20, large),
        of(10, large, LINSPACE, V, COSINE),
        of(10, large, TRAILING, V, SCALED, FREE),
        of(20, learned),
        of(10, learned, LINSPACE, V, COSINE, FREE),
        of(20, learned, LEADING, X_0, SCALED, THRESHOLD),
        # Dynamic thresholding.
        of(20, THRESHOLD),
        of(10, THRESHOLD, TRAILING, V, SCALED),
    ]


def ddim():
    def of(steps, *arguments, **step):
        return ("DDIMScheduler", steps, arguments, step)

    def consistent(steps, *arguments, **step):
        """eps recomputed from the clipped x_0."""
        return of(steps, *arguments, use_clipped_model_output=True, **step)

    last_is_first_alpha = {"set_alpha_to_one": False}
    return [
        # Noise. Without clipping, the network's eps matches x_0.
        of(20, FREE),
        of(20, FREE, eta=0.5),
        of(20, FREE, eta=1.0),
        of(7, FREE),
        consistent(20),
        consistent(20, eta=0.5),
        consistent(10, X_0, SCALED, eta=1.0),
        # diffusers' default: x_0 clipped, eps not.
        of(20),
        of(20, eta=1.0),
        # Spacings and the last step.
        of(20, OFFSET, FREE),
        of(20, FREE, last_is_first_alpha),
        of(20, OFFSET, SCALED, FREE, last_is_first_alpha),
        of(20, TRAILING, V, SCALED, FREE),
        of(5, TRAILING, X_0, COSINE, FREE),
        of(25, TRAILING, V, COSINE, FREE, eta=1.0),
        of(10, LINSPACE, FREE),
        of(25, LINSPACE, V, COSINE, FREE, eta=0.5),
        # No signal at T - 1. With eta = 1 the peer takes the square root of a rounded -0 there: NaN.
        of(10, TRAILING, V, FREE, {"rescale_betas_zero_snr": True}),
        consistent(25, TRAILING, V, SCALED, {"rescale_betas_zero_snr": True}, eta=0.5),
        # Dynamic thresholding.
        consistent(20, THRESHOLD),
        consistent(20, THRESHOLD, TRAILING, V, SCALED, eta=0.5),
    ]


def dpm_solver():
    def of(steps, order, *arguments):
        return ("DPMSolverMultistepScheduler", steps, ({"solver_order": order}, *arguments), {})

    heun, lu = {"solver_type": "heun"}, {"use_lu_lambdas": True}
    keep_order = {"lower_order_final": False}
    sde = {"algorithm_type": "sde-dpmsolver++"}
    return [
        # Orders; with 15 or more steps the order is not lowered.
        of(20, 1),
        of(20, 2),
        of(20, 3),
        of(10, 2),
        of(10, 3),
        of(5, 2),
        of(6, 3, SCALED),
        of(20, 2, heun),
        of(10, 2, heun, SCALED),
        # Spacings.
        of(15, 2, LEADING),
        of(20, 3, OFFSET, SCALED),
        of(20, 2, TRAILING),
        of(12, 3, TRAILING, V, SCALED),
        # The end: down to sigma 0 or to the sigma of t = 0, and in which order.
        of(20, 2, TO_SIGMA_MIN),
        of(20, 3, TO_SIGMA_MIN, SCALED),
        of(10, 2, TO_SIGMA_MIN),
        of(10, 2, TO_SIGMA_MIN, keep_order, V, SCALED),
        of(20, 2, TO_SIGMA_MIN, {"euler_at_final": True}),
        of(10, 3, keep_order, SCALED),
        # Noise levels that do not belong to timesteps.
        of(20, 2, KARRAS, SCALED),
        of(10, 3, KARRAS, SCALED),
        of(20, 2, heun, KARRAS, V, SCALED),
        of(15, 2, lu, V, SCALED),
        of(20, 3, lu, SCALED),
        of(15, 2, EXPONENTIAL, V),
        of(20, 3, EXPONENTIAL, V),
        # Predictions, the cosine schedule, dynamic thresholding.
        of(15, 2, V, COSINE),
        of(15, 3, X_0, COSINE),
        of(20, 2, LEADING, V, COSINE),
        of(20, 2, THRESHOLD),
        of(10, 3, THRESHOLD, V, SCALED),
        # With noise.
        of(20, 1, sde),
        of(20, 2, sde),
        of(10, 2, sde, V, SCALED),
        of(20, 2, sde, heun),
        of(25, 2, sde, KARRAS, SCALED),
        of(15, 2, sde, heun, TO_SIGMA_MIN, X_0, SCALED),
        of(15, 2, sde, LEADING, X_0, COSINE),
        of(20, 2, sde, TRAILING, THRESHOLD),
    ]


def unipc():
    def of(steps, order, *arguments):
        return ("UniPCMultistepScheduler", steps, ({"solver_order": order}, *arguments), {})

    # With B(h) = h a step to sigma = 0 is not finite.
    bh1 = {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}
    return [
        of(20, 1),
        of(20, 2),
        of(20, 3),
        of(10, 2),
        of(10, 3, SCALED),
        of(5, 2),
        of(20, 1, bh1),
        of(20, 2, bh1),
        of(10, 3, bh1, SCALED),
        of(20, 2, TO_SIGMA_MIN),
        of(20, 3, TO_SIGMA_MIN, V, SCALED, {"lower_order_final": False}),
        of(20, 2, TRAILING, V, SCALED),
        of(15, 3, OFFSET, SCALED),
        of(20, 2, KARRAS, SCALED),
        of(10, 3, KARRAS, V, SCALED),
        of(15, 2, EXPONENTIAL, V),
        of(15, 2, V, COSINE),
        of(15, 3, X_0, COSINE),
        of(20, 2, THRESHOLD),
        of(10, 2, {"disable_corrector": [0, 3, 4]}),
        of(10, 3, SCALED, {"disable_corrector": list(range(10))}),
    ]


def pndm():
    def of(steps, *arguments):
        return ("PNDMScheduler", steps, arguments, {})

    plms, to_one = {"skip_prk_steps": True}, {"set_alpha_to_one": True}
    return [
        of(20, plms),
        of(10, plms, to_one),
        of(20, plms, OFFSET, SCALED),
        of(20, plms, TRAILING, V, SCALED, to_one),
        of(7, plms),
        of(10, plms, LINSPACE, SCALED, to_one),
        of(10, plms, V, COSINE),
        of(20),
        of(10, to_one),
        of(10, OFFSET, SCALED),
        of(20, TRAILING, V, SCALED),
        of(10, LINSPACE, SCALED, to_one),
    ]


def deis():
    def of(steps, order, *arguments):
        return ("DEISMultistepScheduler", steps, ({"solver_order": order}, *arguments), {})

    return [
        of(20, 1),
        of(20, 2),
        of(20, 3),
        of(10, 2),
        of(12, 3),
        of(15, 2, LEADING, SCALED),
        of(20, 3, TRAILING, V, SCALED),
        of(10, 2, KARRAS, SCALED),
        of(20, 3, KARRAS, SCALED),
        of(15, 2, EXPONENTIAL, V),
        of(15, 2, LEADING, X_0, COSINE),
        of(20, 2, THRESHOLD),
    ]


def euler():
    def of(steps, *arguments):
        return ("EulerDiscreteScheduler", steps, arguments, {})

    return [
        of(20),
        of(10, LEADING),
        of(20, OFFSET, SCALED),
        of(20, TRAILING, V, SCALED),
        of(20, KARRAS),
        of(10, KARRAS, TRAILING, V, SCALED),
        of(15, KARRAS, LEADING),
        of(20, EXPONENTIAL, SCALED),
        of(15, LEADING, X_0, COSINE),
        of(20, TO_SIGMA_MIN),
    ]


def euler_ancestral():
    def of(steps, *arguments):
        return ("EulerAncestralDiscreteScheduler", steps, arguments, {})

    return [
        of(20),
        of(10, LEADING),
        of(20, OFFSET, SCALED),
        of(25, TRAILING),
        of(20, V, SCALED),
        of(15, LEADING, V, COSINE),
    ]


def heun():
    def of(steps, *arguments):
        return ("HeunDiscreteScheduler", steps, (LINEAR, *arguments), {})

    return [
        of(10),
        of(20),
        of(10, LEADING),
        of(12, OFFSET, SCALED),
        of(10, TRAILING, V, SCALED),
        of(10, KARRAS),
        of(20, KARRAS, V, SCALED),
        of(10, EXPONENTIAL, SCALED),
        of(10, LEADING, X_0, COSINE),
        of(10, {"clip_sample": True}),
    ]


ALL = ddpm() + ddim() + dpm_solver() + unipc() + pndm() + deis() + euler() + euler_ancestral() + heun()
