# One processor, one format, one fleet on spot: the least that builds, signs and publishes.

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      project  = "millrace"
      millrace = var.prefix
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account_id  = data.aws_caller_identity.current.account_id
  partition   = data.aws_partition.current.partition
  bucket_name = "${var.prefix}-artifacts-${local.account_id}"

  packages = coalesce(var.packages_directory, "../../../target/functions/${var.architecture}")

  # You make these once: terraform/README.md, section Secrets.
  secrets = {
    webhook_secret = "/${var.prefix}/secrets/webhook"
    state_token    = "/${var.prefix}/secrets/state-token"
    admin_token    = "/${var.prefix}/secrets/admin-token"
    forge_token    = "/${var.prefix}/secrets/forge-token"
  }
}

module "ledger" {
  source = "../../modules/ledger"

  prefix          = var.prefix
  alarm_topic_arn = module.observability.topic_arn
}

module "queues" {
  source = "../../modules/queues"

  prefix            = var.prefix
  account_id        = local.account_id
  bucket_arn        = "arn:${local.partition}:s3:::${local.bucket_name}"
  has_forge         = var.state_repository.forge != "none"
  rpm_architectures = ["x86_64"]
  deb_architectures = []
  alarm_topic_arn   = module.observability.topic_arn
}

module "artifacts" {
  source = "../../modules/artifacts"

  prefix                   = var.prefix
  bucket_name              = local.bucket_name
  results_queue_arn        = module.queues.results_arn
  reader_distribution_arns = [module.publishing.distribution_arn]
  alarm_topic_arn          = module.observability.topic_arn
}

module "signing" {
  source = "../../modules/signing"

  prefix          = var.prefix
  account_id      = local.account_id
  partition       = local.partition
  alarm_topic_arn = module.observability.topic_arn
}

module "control_plane" {
  source = "../../modules/control-plane"

  prefix                 = var.prefix
  account_id             = local.account_id
  partition              = local.partition
  region                 = var.region
  packages_directory     = local.packages
  architecture           = var.architecture
  table_name             = module.ledger.table_name
  table_arn              = module.ledger.table_arn
  stream_arn             = module.ledger.stream_arn
  bucket_name            = module.artifacts.bucket_name
  bucket_arn             = module.artifacts.bucket_arn
  system_queues          = module.queues.system
  key_arns               = module.signing.key_arns
  state_repository       = var.state_repository
  secret_parameters      = local.secrets
  publishing_url         = module.publishing.url
  runner_api_concurrency = var.runner_api_concurrency
  read_api_concurrency   = var.read_api_concurrency
  sweep_concurrency      = var.sweep_concurrency
  forge_concurrency      = var.forge_concurrency
  alarm_topic_arn        = module.observability.topic_arn
}

module "webhook" {
  source = "../../modules/webhook"

  prefix                       = var.prefix
  package                      = "${local.packages}/webhook.zip"
  architecture                 = var.architecture
  reserved_concurrency         = var.webhook_concurrency
  configuration_parameter_name = module.control_plane.configuration_parameter_name
  configuration_parameter_arn  = module.control_plane.configuration_parameter_arn
  secret_parameter_arn         = module.control_plane.secret_parameter_arns["webhook_secret"]
  wake_queue_arn               = module.queues.system.wake["normal"]
  forge_queue_arn              = module.queues.forge_arn
  alarm_topic_arn              = module.observability.topic_arn
}

module "publishing" {
  source = "../../modules/publishing"

  prefix                      = var.prefix
  bucket_regional_domain_name = module.artifacts.bucket_regional_domain_name
  api_domain_name             = module.control_plane.api_domain_name

  us_east_1_alarms = (
    var.region == "us-east-1" ? { topic_arn = module.observability.topic_arn } :
    var.us_east_1_topic_arn == null ? null : { topic_arn = var.us_east_1_topic_arn }
  )
}

module "observability" {
  source = "../../modules/observability"

  prefix             = var.prefix
  account_id         = local.account_id
  region             = var.region
  alarm_mails        = var.alarm_mails
  monthly_budget_usd = var.monthly_budget_usd
  lane_names         = module.queues.lane_names
  dead_names         = module.queues.dead_names
  function_names     = concat(module.control_plane.function_names, [module.webhook.function_name])
  table_name         = module.ledger.table_name
  bucket_name        = module.artifacts.bucket_name
  fleet_names        = [module.x86_64.group_name]
}

module "x86_64" {
  source = "../../modules/runner-fleet"

  prefix         = var.prefix
  account_id     = local.account_id
  partition      = local.partition
  region         = var.region
  name           = "x86-64"
  architecture   = "x86_64"
  instance_types = ["c7i.xlarge", "c6i.xlarge", "m7i.xlarge", "m6i.xlarge"]
  max_size       = 2
  ami_id         = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
  queues         = { for name in ["build-rpm.x86_64", "test.x86_64", "compose.any"] : name => module.queues.work[name] }
  bucket_arn     = module.artifacts.bucket_arn
  control_url    = module.control_plane.api_url
  key_parameter  = "/${var.prefix}/runners/x86-64"
  package_url    = var.runner_package.url
  package_sha256 = var.runner_package.sha256
  extra_setup    = "dnf -y install bubblewrap rpm-build createrepo_c"
  vpc_id         = var.network.vpc_id
  subnet_ids     = var.network.subnet_ids

  alarm_topic_arn = module.observability.topic_arn
}
