# An output that writes each event to the file `path`, as a line "tag number", before Fluentd can ack the event.
# With `<buffer>` it is a buffered output, which writes later. `refuse`: every event is refused. `refuse_each`: an event
# is refused once when its number is a multiple. `gate`: chunks are refused while this file does not exist.
require "fluent/plugin/output"

module Fluent::Plugin
  class RecorderOutput < Output
    Fluent::Plugin.register_output("recorder", self)

    config_param :path, :string
    config_param :refuse, :bool, default: false
    config_param :refuse_each, :integer, default: nil
    config_param :gate, :string, default: nil

    def prefer_buffered_processing
      false
    end

    def multi_workers_ready?
      true
    end

    def start
      super
      @file = File.open(@path, "a")
      @file.sync = true
      @refused = {}
    end

    def process(tag, es)
      raise "refused" if @refuse
      lines = +""
      es.each do |_, record|
        number = record["n"]
        if @refuse_each && number % @refuse_each == 0 && !@refused[number]
          @refused[number] = true
          raise "refused #{number}, once"
        end
        lines << "#{tag} #{number}\n"
      end
      @file.write(lines)
    end

    def format(tag, _, record)
      "#{tag} #{record["n"]}\n"
    end

    def write(chunk)
      raise "not yet" if @gate && !File.exist?(@gate)
      @file.write(chunk.read)
    end
  end
end
