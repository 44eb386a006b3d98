/* What a run is, as JSON: what its state depends on, and the step that the
 * recipe gains. NULL or incomplete where memory was short, which
 * gqa_json_check() tells. The caller owns them. */
#ifndef GQA_UPTRAIN_DESCRIBE_H
#define GQA_UPTRAIN_DESCRIBE_H

#include "uptrain/options.h"
#include "uptrain/run.h"
#include "uptrain/settings.h"

/* All that bits depend on. device: that it runs on. */
json_t *gqa_run_what(const struct gqa_uptrain_options *options,
                     const struct gqa_settings *settings,
                     const struct gqa_pair *pair, const struct gqa_data *data,
                     const struct gqa_device_info *device);

/* trained: [n_params of the student]; digests: of those
 * (gqa_output_digests()), which this takes. */
json_t *gqa_run_recipe(const struct gqa_uptrain_options *options,
                       const struct gqa_settings *settings,
                       const struct gqa_pair *pair, const bool *trained,
                       const struct gqa_data *data,
                       const struct gqa_history *history,
                       const struct gqa_device_info *device, json_t *digests);

#endif
