/* What the items of the lists in struct config consist of. */
#ifndef HUSK_CONFIG_SCHEMA_PARTS_H
#define HUSK_CONFIG_SCHEMA_PARTS_H

#include "config/setting.h"

extern const struct setting_parts config_listen_parts;      /* struct config_listen */
extern const struct setting_parts config_upstream_parts;    /* struct config_upstream */
extern const struct setting_parts config_match_parts;       /* struct config_match */
extern const struct setting_parts config_certificate_parts; /* struct config_certificate */
extern const struct setting_parts config_rule_parts;        /* struct config_rule */
extern const struct setting_parts config_user_parts;        /* struct config_user */
extern const struct setting_parts config_identity_parts;    /* struct config_identity */

#endif
